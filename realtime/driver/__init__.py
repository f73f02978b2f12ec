"""Decisions about one driver: presence, hints, frame rate, and effects on what is shown."""
