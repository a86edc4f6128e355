"""A policy on another computer: a server beside the GPU, a client without torch beside the arm."""
