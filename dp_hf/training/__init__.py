"""Training: configuration, windows of frames, caches, the training loop, checkpoints and validation."""
