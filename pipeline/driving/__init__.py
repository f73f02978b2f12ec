"""One driver over time: calibration, easing and idle motion become a `Cue` for each frame."""
