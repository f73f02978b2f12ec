"""The program: parse the command line, run one command, return its exit code.

Only the command that is run is imported, so that `doctor` starts where packages are missing.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib import import_module

from web.cli.arguments import parse
from web.core.program import PROGRAM, as_started

INTERRUPTED = 130  # the exit code that a shell reports for a program that Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. An error is one sentence on stderr, with --verbose a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "serve")
    parsed = parse(words)
    parsed.line = shlex.join([PROGRAM, *words])
    try:
        code: int = import_module(f"web.cli.{parsed.command}").run(parsed)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if parsed.verbose:
            raise
        print(as_started(_sentence(error)), file=sys.stderr)
        return 1
    return code


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, ImportError):
        return f"A package is missing or broken ({error}); `python run.py doctor` says how to get it."
    if type(error).__module__.partition(".")[0] in ("pipeline", "realtime", "web"):
        return str(error)  # the project's own exceptions are sentences
    return (
        f"Unexpected {type(error).__name__}: {error}. Run the command again with --verbose, and report what it prints."
    )
