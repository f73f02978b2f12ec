"""The command line: one file for each command; `main` calls them, `arguments` declares their flags."""
