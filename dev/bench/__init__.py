"""What one call costs: the plain method, ours, and the floor under both, side by side."""
