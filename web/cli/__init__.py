"""The command line: its arguments, and the commands that need the web layer."""
