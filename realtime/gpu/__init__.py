"""The one thread that uses the GPU, and its decisions about batches."""
