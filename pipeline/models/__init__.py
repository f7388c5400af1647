"""Networks, and the one way by which they are loaded."""
