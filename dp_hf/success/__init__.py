"""How often a policy succeeds, and which of two does so more often."""
