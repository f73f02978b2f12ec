"""One file for each group of HTTP routes; `dependencies` and `errors` serve them all."""
