"""Independent work on other processes of this machine, or on those of a cluster."""
