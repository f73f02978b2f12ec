"""The neural animator: crop, motion mathematics, checkpoints, and the seams `Backend` and `Pixels`."""
