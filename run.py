"""Start the program: `python run.py` serves the page, `python run.py --help` lists all commands."""

import sys

from web.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
