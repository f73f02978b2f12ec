"""File to file: read and write videos, animate them, and render the clips that come with the page."""
