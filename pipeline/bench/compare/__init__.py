"""`run.py compare`: the original way of running LivePortrait against this project's, row by row."""
