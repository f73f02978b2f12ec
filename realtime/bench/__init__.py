"""Everything in realtime that only measures: glass-to-glass latency, and a device with many sessions."""
