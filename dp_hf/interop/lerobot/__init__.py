"""LeRobot datasets: v3.0 read and written, v2.x read."""
