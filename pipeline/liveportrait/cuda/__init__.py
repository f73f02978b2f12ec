"""Pinned buffers, copy streams and pixel kernels for a CUDA device."""
