"""Writes docs/performance.md and its plots from what was measured: the JSON files in benchmarks/results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcdaas.bench import plots, steps_job, work
from hpcdaas.bench.cores import threads_in_words
from hpcdaas.bench.files import load
from hpcdaas.bench.shown import quantity
from hpcdaas.tomo.stripes import Stripes

DOCS = Path(__file__).resolve().parent
BENCHMARKS = DOCS.parent / "benchmarks"
HEAD = """\
# Performance

Written by `make docs` from the files in [benchmarks/results](../benchmarks/results), which the scripts in
[benchmarks](../benchmarks/README.md) and `hpcdaas bench` have written; no number here was typed by hand. A ratio is
the median of the ratios within interleaved rounds, to something that was measured in the same run. Where a figure has
a goal, it says which bound is kept: what must be reached, or what is aimed at; **SHORT** is neither."""
#: Titles by the scripts' names, in the order of the page; those that are not named come last.
TITLES = {
    "peers": "Peers, on the same data in one run",
    "fbp": "Filtered back-projection by gridding, against peers, floor and definition",
    "backproject": "The ray sum, against a peer and a core's peak",
    "views": "Primitives of ptychography, against bare transforms",
    "ptycho": "Ptychography, against a peer: time and sharpness",
    "gpu_tomo": "Tomography on a GPU",
    "gpu_ptycho": "Ptychography on a GPU",
    "file_to_file": "File to file",
    "preview": "Preview",
    "ranks": "Two ranks against one",
    "catalog": "Registering, and searching the catalogue",
    "watch": "Watching a folder",
    "status": "Status of many scans",
    "scaling": "What ranks send",
}
#: Pages that show these figures already.
ELSEWHERE = {"scaling": "scaling.md"}
FLOOR = """\
The floor of a piece is the slower of two: its bytes at the bandwidth of memory, and its transforms and multiply-adds at
the speeds that cores have for them, all measured in turns with it. Transforms are lines in the first cache that are
moved nowhere; a comparison counts as a multiply-add; index arithmetic, roots, divisions and moves within the cache are
in no floor. The table says what is counted for each projection, sinogram, slice, or view and mode (here: projections of
512 × 1024; sinograms of 1024 columns from 750 angles; slices of 2048² from 1500 angles; views of 128², one mode)."""
#: How the tables of the peers are meant.
PEERS = """\
Each program runs in an environment of its own, takes turns with the others, and gets the same arrays, the same first
probe and the same number of threads; one without an entry for two threads uses one. Slices: the bare ramp filter, else
defaults; peers take slice after slice, and so they get fewer of them. Errors are relative L2 errors after the best
constant factor, to the exact definition in float64 (a trigonometric polynomial) and to that of the linear sum (linear
interpolation between columns), which most peers form. Objects: **equal quality** means that an object is *good enough*,
{settings[good enough]}: relative L2 error to the truth of the simulated scan, and Fourier ring correlation with it, the
mean up to Nyquist; what no frame can tell is removed before. The time is that of all iterations from the start until
then, so that a cheap iteration that brings little gains nothing; a dash says that a program isn't good enough at its
end. How good each gets is in the last two columns."""
#: What no script measures yet; the rest of what is missing follows from the files that aren't there.
NEVER = """\
- Machines with more cores than in the table above, real networks and parallel file systems: [scaling.md](scaling.md)
  counts messages and extrapolates."""


def main() -> None:
    """Write the page and the plots into a folder, docs if none is named."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    files = [load(path) for path in sorted((BENCHMARKS / "results").glob("*.json"))]
    (folder / "performance.md").write_text("\n\n".join(page(files)) + "\n", encoding="utf-8")
    for name, figure in pictures(files):
        (folder / name).write_text(figure, encoding="utf-8")


def page(files: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Give the page's blocks."""
    yield HEAD
    yield "## What was measured where"
    yield measured(files)
    yield "## What falls short of its goal"
    yield short(files)
    for file in (f for f in files if f["benchmark"] == "bench"):
        yield from of_bench(file)
    order = list(TITLES)
    scripts = [f for f in files if f["benchmark"] != "bench"]
    for file in sorted(scripts, key=lambda f: order.index(f["benchmark"]) if f["benchmark"] in order else len(order)):
        yield f"## {TITLES.get(file['benchmark'], file['benchmark'])}"
        if file["benchmark"] in ELSEWHERE:
            yield f"See [{ELSEWHERE[file['benchmark']]}]({ELSEWHERE[file['benchmark']]})."
            continue
        yield f"`bench_{file['benchmark']}.py` on {where(file)}: {settings(file)}."
        yield from of_peers(file) if file["benchmark"] == "peers" else [table(file["figures"])]
        notes = [note for note in file.get("notes", ()) if "  " not in note]  # not tables of text
        if notes:
            yield "\n".join(notes)
    yield "## What was not measured"
    yield unmeasured(files)


def measured(files: Sequence[Mapping[str, Any]]) -> str:
    """List the files with their machines and programs."""
    lines = ["| file | machine | vector level, FFT | date | commit |", "|---|---|---|---|---|"]
    for file in files:
        m = file["machine"]
        machine = f"{m['cpu']}, {m['cores']} cores, {quantity(m['memory_bytes'], 'B')}"
        commit = file["commit"][:8] + (" and changes" if file["commit"].endswith("+") else "")
        name = f"[{file['file']}](../benchmarks/results/{file['file']})"
        cells = (name, machine, f"{m['vector_level']}, {m['fft_library']}", file["date"][:10], commit)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def short(files: Sequence[Mapping[str, Any]]) -> str:
    """List the figures that miss what they must reach."""
    lines = ["| figure | value | ratio | to | must, aim |", "|---|---|---|---|---|"]
    for file in files:
        for f in (f for f in file["figures"] if f["verdict"] == "SHORT"):
            name = f"{TITLES.get(file['benchmark'], file['benchmark']).partition(',')[0]}: {f['name']}"
            lines.append(f"| {name} | {value(f)} | {ratio(f)} | {f['limit']} | {goal(f['goal'])} |")
    return "\n".join(lines) if len(lines) > 2 else "None."


def of_bench(file: Mapping[str, Any]) -> Iterator[str]:
    """Give what a run of `hpcdaas bench` says: machine, primitives, whole runs."""
    yield f"## hpcdaas bench on {where(file)}"
    yield f"`hpcdaas bench`, {settings(file)}."
    yield from (note for note in file.get("notes", ()) if note.startswith("Others"))
    groups = list(dict.fromkeys(f["group"] for f in file["figures"]))
    floored = [f for f in file["figures"] if f.get("flops")]
    of_levels = {f["group"] for f in floored}
    for group in (g for g in groups if "," not in g or g.startswith("two ranks")):
        yield f"### {group[:1].upper()}{group[1:]}"
        yield table([f for f in file["figures"] if f["group"] == group])
    if floored:
        yield "### Primitives and algorithms against their floors"
        yield FLOOR
        yield counted()
        yield f"![Roofline](performance-{file['machine']['label']}-roofline.svg)"
        yield plots_caption()
        yield f"![Ratios to the floors](performance-{file['machine']['label']}-ratios.svg)"
        for group in (g for g in groups if g in of_levels):
            yield f"{group[:1].upper()}{group[1:]}:"
            yield by_threads(file, [f for f in file["figures"] if f["group"] == group])
    whole = [f for f in file["figures"] if "," in f["group"] and f["group"] not in of_levels | {"GPU"}]
    whole = [f for f in whole if not f["group"].startswith("two ranks")]
    if whole:
        yield "### Whole runs, from a scan file to a registered result"
        for group in dict.fromkeys(f["group"] for f in whole):
            yield f"{group[:1].upper()}{group[1:]}:"
            yield table([f for f in whole if f["group"] == group])


def of_peers(file: Mapping[str, Any]) -> Iterator[str]:
    """Give a table for each job of the peers: a row for each program, those that aren't there with the reason."""
    yield PEERS.format(settings=file["settings"])
    for group, absent in file["absent"].items():
        figures = [f for f in file["figures"] if f["group"] == group]
        rows: dict[str, dict[str, str]] = {}
        for f in figures:
            row, _, what = f["name"].partition(": ")
            times = f" ({ratio(f)} ×)" if f["ratio"] is not None and f["unit"] == "s" else ""
            rows.setdefault(row, {})[what] = value(f) + times
        columns = list(dict.fromkeys(what for cells in rows.values() for what in cells))
        lines = ["| " + " | ".join(["program", *columns]) + " |", "|" + "---|" * (1 + len(columns))]
        for row, cells in rows.items():
            lines.append(f"| {row} | {' | '.join(cells.get(what, '–') for what in columns)} |")
        for row, why in absent.items():
            lines.append(f"| {row} | {why} |{' |' * (len(columns) - 1)}")
        yield f"{group[:1].upper()}{group[1:]}; × is to the first row:"
        yield "\n".join(lines)


def plots_caption() -> str:
    """Say what the roofline shows."""
    from hpcdaas.bench.page import ROOFLINE

    return ROOFLINE


def counted() -> str:
    """Write down what the floors are made of."""
    lines = ["| piece | bytes | multiply-adds | transforms | why |", "|---|---|---|---|---|"]
    known = {f"slice: {name}": piece for name, piece in work.slices(2048, 1500).items()}
    margin = steps_job.margin(steps_job.make_block(2, 1024, 1))
    known |= {f"projection: {name}": piece for name, piece in work.projections(512, 1024, margin).items()}
    usual = Stripes()
    known |= {f"sinogram: {n}": piece for n, piece in work.sinograms(1024, 750, usual.size, usual.large_size).items()}
    known |= {f"view: {name}": piece for name, piece in work.views(128, 1, 372 * 371 / 256).items()}
    for name, piece in known.items():
        transforms = ", ".join(f"{count:.4g} of {n}" for n, count in piece.lines.items()) or "none"
        why = piece.why.replace("|", "\\|")
        cells = (name, quantity(piece.bytes, "B"), f"{piece.multiply_adds:.3g}", transforms, why)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def by_threads(file: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> str:
    """Write figures with floors as a table, those of one and of all threads beside each other."""
    counts = sorted({1, file["settings"]["threads"]})
    columns = ["figure", *(f"{threads_in_words(n)} | over its floor" for n in counts), "floor set by"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * (2 * len(counts) + 2)]
    known = {f["name"]: f for f in figures}
    for name in dict.fromkeys(plots.without_threads(f["name"]) for f in figures if f["flops"]):
        here = [known[f"{name}, {threads_in_words(n)}"] for n in counts]
        cells = [f"{value(f)} | {f['ratio']:.2f}" for f in here]
        by = ", ".join(dict.fromkeys(f["limit"].removeprefix("floor: ") for f in here))
        lines.append(f"| {name} | {' | '.join(cells)} | {by} |")
    residuals = [f"{f['name'][0].upper()}{f['name'][1:]}: {f['value']:.2g}, allowed are {f['limit_value']:g}."
                 for f in figures if f["residual"]]  # fmt: skip
    return "\n".join([*lines, *(["", *residuals] if residuals else [])])


def table(figures: Sequence[Mapping[str, Any]]) -> str:
    """Write figures as a table."""
    goals = any(f["goal"] for f in figures)
    columns = ["figure", "value", "ratio", "to", *(["must, aim", "kept"] if goals else [])]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for f in figures:
        limit = "" if f.get("limit_value") is None else f", {quantity(f['limit_value'], f['unit'])}"
        cells = [f["name"], value(f), ratio(f), f["limit"] + limit]
        if goals:
            verdict = f["verdict"]
            cells += [goal(f["goal"]), f"**{verdict}**" if verdict == "SHORT" else verdict]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def value(figure: Mapping[str, Any]) -> str:
    """Write a figure's value."""
    return quantity(figure["value"], figure["unit"])


def ratio(figure: Mapping[str, Any]) -> str:
    """Write a figure's ratio, if it has one."""
    return "" if figure["ratio"] is None else f"{figure['ratio']:.3g}"


def goal(given: Mapping[str, Any] | None) -> str:
    """Write a goal."""
    if given is None:
        return ""
    sign, of = ("≥" if given["at_least"] else "≤"), (" (value)" if given["on"] == "value" else "")
    return f"{sign} {given['must']:g}" + (f", {given['aim']:g}" if given["aim"] is not None else "") + of


def where(file: Mapping[str, Any]) -> str:
    """Name a file's machine."""
    return f"{file['machine']['cpu']}, {file['machine']['cores']} cores"


def settings(file: Mapping[str, Any]) -> str:
    """Write a file's settings."""
    return ", ".join(f"{name} {setting}" for name, setting in file["settings"].items() if setting is not False)


def unmeasured(files: Sequence[Mapping[str, Any]]) -> str:
    """Say which scripts have left no file, and what the files say that they lack."""
    there = {file["benchmark"] for file in files}
    lines = []
    for script in sorted(BENCHMARKS.glob("bench_*.py")):
        name = script.stem.removeprefix("bench_")
        if name not in there:
            about = f" ({TITLES[name]})" if name in TITLES else ""
            lines.append(f"- `{script.name}`{about}: no committed file.")
    for file in files:
        lacking = [note for note in file.get("notes", ()) if "not measured" in note or "not installed" in note]
        lines += [f"- {file['file']}: {note}" for note in lacking]
    return "\n".join([*lines, NEVER])


def pictures(files: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Give names and SVG of the plots."""
    for file in files:
        if file["benchmark"] == "bench" and plots.has_floors(file):
            label = file["machine"]["label"]
            yield f"performance-{label}-roofline.svg", plots.svg(plots.roofline(file))
            yield f"performance-{label}-ratios.svg", plots.svg(plots.bars([file]))


if __name__ == "__main__":
    main()
