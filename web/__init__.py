"""HTTP, the page and the command line. Imports realtime and pipeline; they never import it."""

__version__ = "0.1.0"  # the only place; pyproject.toml reads it
