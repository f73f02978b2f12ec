"""The one thread that touches the GPU, and its decisions about batches."""
