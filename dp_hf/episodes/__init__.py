"""Recorded episode folders: find, check, read and write them; turn them into a `datasets` dataset."""
