"""Pictures in, pictures out: no clock, thread, socket or page.

Read `core/animator.py` first: the types that all share, and the `Animator` that `meshwarp/` and `liveportrait/`
implement. `load.py` chooses one of them, `driving/` decides what it shows, `files/` runs it from file to file, and
`bench/` measures it.
"""
