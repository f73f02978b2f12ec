"""Ways to execute LivePortrait's networks: the same pictures, faster. `backend.py` says what each of them can do."""
