"""From an image to an action: the pipeline with its denoising loop, its folder, and the execution of chunks."""
