"""What every other folder of realtime may import: frames, the slot for the newest one, threads."""
