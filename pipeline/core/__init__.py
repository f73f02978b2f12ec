"""What every other folder of pipeline may import: types, options, timing. It needs NumPy only."""
