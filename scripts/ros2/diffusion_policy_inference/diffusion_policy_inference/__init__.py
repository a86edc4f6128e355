"""Thin ROS 2 nodes around `dp_hf.control`."""

import signal
import threading

# Ctrl-C ends a node that is still importing, without a traceback. Later it brakes the arm first.
if threading.current_thread() is threading.main_thread() and (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
