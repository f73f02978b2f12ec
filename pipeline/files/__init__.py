"""File to file: read and write videos, animate them, and render the page's demo and idle clips."""
