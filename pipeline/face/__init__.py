"""Find, track and measure a face."""
