"""Rewritten operators and kernels that the backends are made of."""
