"""All peers in one run, on the same arrays: slices with their errors, and objects at equal quality.

Each peer is a process in a virtual environment of its own (`peers/`), and all take turns with ours. What can't be had
here stays in the table with the reason, and so do our own rows that are slower or less sharp than a peer's. How errors
and equal quality are meant stands in `peers/slices.py` and `peers/objects.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from common import Report, Rounds, options
from peers import peer_options
from peers.objects import ERROR, SHARP, measure_objects
from peers.slices import Size, measure_slices
from scan_file import scratch_option


@dataclass
class PeersReport(Report):
    """A report that also says what isn't there.

    Attributes
    ----------
    absent : dict
        By group and name in the table: why.
    """

    absent: dict[str, dict[str, str]] = field(default_factory=dict)

    def table(self) -> str:
        """Lay the figures out as text, and what is missing below."""
        missing = [f"{row}: {why}" for rows in self.absent.values() for row, why in rows.items()]
        return "\n".join([super().table(), *dict.fromkeys(missing)])

    def content(self, rounds: Rounds) -> dict[str, Any]:
        """Give all of it, as JSON holds it."""
        return super().content(rounds) | {"absent": self.absent}


def main() -> None:
    parser = options(__doc__ or "", repeats=3)
    scratch_option(parser)
    peer_options(parser)
    parser.add_argument("--only", choices=("slices", "objects"), help="one of the two tables")
    parser.add_argument("--large", action="store_true", help="slices of 2048², too: takes much longer")
    given = parser.parse_args()
    given.scratch.mkdir(parents=True, exist_ok=True)
    sizes = [Size(64, 45, 8, 4)] if given.quick else [Size(1024, 750, 16, 4)]
    sizes += [Size(2048, 1500, 16, 2)] if given.large else []
    views, size = (60, 64) if given.quick else (256, 128)
    settings = {"threads": "1 and 2", "good enough": f"error ≤ {ERROR:g} and FRC ≥ {SHARP:g}", "rounds": given.repeats}
    report, rounds = PeersReport("peers", settings), Rounds({})
    if given.only != "objects":
        for each in sizes:
            more, report.absent[each.group] = measure_slices(given, report, each)
            rounds = Rounds({**rounds.seconds, **more.seconds})
    if given.only != "slices":
        more, report.absent[f"objects of {views} views of {size}²"] = measure_objects(given, report, views, size)
        rounds = Rounds({**rounds.seconds, **more.seconds})
    report.finish(given, rounds)


if __name__ == "__main__":
    main()
