"""ROS 2 bags to episodes."""
