"""What every other folder of realtime may import: the frame, the slot that keeps the newest, threads."""
