"""`python -m web.cli`: how the program starts itself, from a checkout as well as installed."""

import sys

from web.cli.main import main

sys.exit(main())
