"""One file for each group of HTTP routes."""
