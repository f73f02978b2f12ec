"""`run.py compare`: the original way of running LivePortrait against ours, row by row."""
