"""Clocks, threads, media transport and the GPU thread.

Reading order: `session.py` (the way of a frame), `render_loop.py` (its stages), `telemetry.py`, `sessions.py`.
Threads: the event loop moves packets and messages; each session has a thread that draws, on a GPU through the one
GPU thread of all sessions; recorder, virtual camera, preview and local camera have their own threads.
Import order: core, driver < metrics, endpoints, webrtc, gpu < control, voice < render_loop < telemetry < session
< sessions, local_session < bench.
"""
