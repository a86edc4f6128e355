"""From and to elsewhere: LeRobot, ROS bags, the reference's checkpoints, ONNX, plain diffusers."""
