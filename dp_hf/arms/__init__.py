"""Arms: their joints, units and limits, and how ROS sees them."""
