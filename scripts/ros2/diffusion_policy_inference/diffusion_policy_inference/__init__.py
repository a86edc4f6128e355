"""Thin ROS 2 nodes around `dp_hf.control`."""
