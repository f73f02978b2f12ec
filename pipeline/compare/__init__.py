"""`run.py compare`: one way of running LivePortrait against another, measured. `measure.py` is where it begins."""
