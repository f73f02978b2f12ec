"""What the routes call: engine, portraits, jobs, sessions of a page. It knows no HTTP."""
