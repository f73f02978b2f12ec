"""Measurements that need realtime: glass-to-glass latency, and a device with many sessions."""
