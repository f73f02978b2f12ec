"""What web is built on: settings, guard, request bodies, and how the program was started."""
