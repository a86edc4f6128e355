"""Driving an arm with a policy in real time: the control loop, its safety, the robots, and remote inference."""
