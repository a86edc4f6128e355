"""The networks: image encoder, denoisers, the policy that joins them, and the normalizer."""
