"""Clocks, threads, media transport and the GPU thread.

Read `session.py` first: the way of one frame from the browser and back. `sessions.py` keeps the register of them,
`webrtc/` moves the media, and `endpoints/` has the other ends of a stream.
"""
