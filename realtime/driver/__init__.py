"""What is decided about a driver: presence, hints, frame rate, and effects on the cue."""
