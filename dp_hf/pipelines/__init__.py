"""From an image to an action: the pipeline, its sampling functions, and the execution of chunks."""
