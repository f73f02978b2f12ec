"""`run.py doctor`: what this machine can do, what is missing and how to get it. Needs no package."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import groupby

from pipeline.doctor import Finding, examine
from web.core.program import as_started
from web.core.settings import Settings


def run(parsed: argparse.Namespace) -> int:
    """Print what was found; return 1 if something is missing without which the page cannot work."""
    findings = list(examine(Settings.host, Settings.port))
    print_findings(findings)
    blocking = [finding.subject for finding in findings if finding.blocks]
    if blocking:
        print(f"\nThe puppet cannot run yet: {', '.join(blocking)}.")
    else:
        print("\nThe puppet can run on this machine.")
    return int(bool(blocking))


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a line for each finding, and each remedy once below those that need it."""
    for remedy, group in groupby(findings, key=lambda finding: finding.remedy):
        for finding in group:
            print(f"{finding.state:8} {finding.subject}: {finding.detail}")
        if remedy:
            print(f"         -> {as_started(remedy)}")
