"""Two benchmarks beside each other: the same figure of both, and what else differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcdaas.errors import InputError

#: What makes a machine another one: times can't be compared then, only ratios to floors.
OF_MACHINE = ("cpu", "cores", "memory_bytes", "vector_level", "fft_library", "system")
#: Units of which more is better.
RATES = ("B/s", "flop/s", "1/h", "1/s")
#: Changes that are shown as better or worse; others are noise.
NOISE = 0.10


def compare(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Give the ratios of the figures that both have.

    Parameters
    ----------
    one, other : mapping
        As `hpcdaas.bench.files.load` gives them.

    Returns
    -------
    dict
        ``same_machine``; ``differences``: ``{what: [of one, of other]}``; ``figures``: of each ``group, name, unit,
        values, ratio`` (other over one), ``ratios`` and ``ratio_of_ratios`` (to their floors), ``verdict``: ``better``,
        ``worse`` or nothing; ``missing``: names that only one of them has.

    Raises
    ------
    InputError
        If they have no figure in common.
    """
    first, second = _figures(one), _figures(other)
    shared = [key for key in first if key in second]
    if not shared:
        raise InputError(f"{one['file']} and {other['file']} have no figure in common.", "Compare the same level.")
    machine = _different(one["machine"], other["machine"], OF_MACHINE)
    rest = _different(one.get("versions", {}), other.get("versions", {}))
    rest |= _different(one, other, ("commit",)) | _different(one.get("settings", {}), other.get("settings", {}))
    return {
        "files": [one["file"], other["file"]],
        "same_machine": not machine,
        "differences": machine | rest,
        "figures": [_beside(key, first[key], second[key], same_machine=not machine) for key in shared],
        "missing": [name for _, name in first.keys() ^ second.keys()],
    }


def _figures(benchmark: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Give figures by group and name; of the scripts' figures some share a name, and are told apart by their limits."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for figure in benchmark["figures"]:
        key = (figure.get("group", ""), figure["name"])
        limit = figure.get("limit", "")
        found[key if key not in found else (key[0], f"{key[1]} (to {limit})")] = figure
    return found


def _beside(
    key: tuple[str, str], one: Mapping[str, Any], other: Mapping[str, Any], same_machine: bool
) -> dict[str, Any]:  # fmt: skip
    ratio = _over(other["value"], one["value"])
    floors = [figure.get("ratio") for figure in (one, other)]
    change = _over(floors[1], floors[0])
    # on another machine a time says nothing of the program, the ratio to the machine's floor does
    judged = ratio if same_machine else change
    better = one["unit"] in RATES if same_machine else (one.get("goal") or {}).get("at_least", False)
    verdict = ""
    if judged is not None and abs(judged - 1) > NOISE:
        verdict = "better" if (judged > 1) == better else "worse"
    return {
        "group": key[0], "name": key[1], "unit": one["unit"], "values": [one["value"], other["value"]], "ratio": ratio,
        "ratios": floors, "ratio_of_ratios": change, "verdict": verdict,
    }  # fmt: skip


def _over(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def _different(
    one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, ...] | None = None
) -> dict[str, list[Any]]:  # fmt: skip
    wanted = names or tuple(dict.fromkeys((*one, *other)))
    return {name: [one.get(name), other.get(name)] for name in wanted if one.get(name) != other.get(name)}
