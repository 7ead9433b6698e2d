"""Where the scripts keep their scans and results."""

from __future__ import annotations

import argparse
from pathlib import Path

from common import ROOT


def scratch_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where scans and results lie."""
    parser.add_argument(
        "--scratch",
        type=Path,
        default=ROOT / "build" / "benchmarks",
        metavar="DIR",
        help="where the scan and the results lie (default build/benchmarks)",
    )
