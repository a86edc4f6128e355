"""Sharing pipelines and datasets on the Hugging Face Hub."""
