"""Where this program is, and how the user starts it: `run.py` in a checkout, else `portrait-puppet`."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # the folder of the packages; child processes find them when they start there
STATIC = ROOT / "web" / "static"  # what the browser loads
PROGRAM = "run.py" if (ROOT / "run.py").is_file() else "portrait-puppet"


def as_started(text: str) -> str:
    """Return `text` with its commands as they are typed here; messages name those of a checkout."""
    return text if PROGRAM == "run.py" else text.replace("python run.py", PROGRAM)
