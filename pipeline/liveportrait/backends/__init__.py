"""Ways to run the networks, one file each; registry.py knows them by name."""
