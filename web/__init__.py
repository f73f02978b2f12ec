"""HTTP only: routes, the panel, and what keeps strangers out. Knows realtime."""

__version__ = "0.1.0"
