"""A pipeline that `dp-hf export-policy` has written, without torch."""
