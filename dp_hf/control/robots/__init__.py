"""The robots that the controller drives: simulated, myCobot over a serial port, ROS 2 over the network."""
