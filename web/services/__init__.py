"""What the routes call: engine, portraits, jobs, recordings. Nothing here knows HTTP."""
