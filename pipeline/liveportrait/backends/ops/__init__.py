"""Rewritten operators and kernels for the backends."""
