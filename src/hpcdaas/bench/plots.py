"""Rooflines, and bars of ratios to floors."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpcdaas.bench.cores import line_flops, threads_in_words
from hpcdaas.view.picture import ACCENT, WIDTH, quiet

Benchmark = Mapping[str, Any]
#: One for each thing that is told apart, then again from the first.
COLOURS = (ACCENT, "#e8590c", "#5f3dc4", "#2b8a3e", "#c2255c", "#5c5f66")
MARKERS = "osD^vPX*<>hd8p"
GREY = "#868e96"
#: Ratio at which the axis of the bars ends at the latest.
LONGEST = 6.0
#: Height of a bar and of what stands around the bars, inches; room on both sides of the points, as a factor.
BAR, AROUND, ROOM = 0.155, 0.85, 3.0


def svg(figure: Figure) -> str:
    """Give a figure as SVG, the same for the same numbers."""
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "hpcdaas", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.06)
    return text.getvalue()


def on_threads(benchmark: Benchmark, threads: int) -> list[Mapping[str, Any]]:
    """Give the figures with a floor that were measured on some threads."""
    ending = f", {threads_in_words(threads)}"
    return [f for f in benchmark["figures"] if f.get("flops") and f["ratio"] and f["name"].endswith(ending)]


def without_threads(name: str) -> str:
    """Give a figure's name without its number of threads."""
    return re.sub(r", \d+ threads?$", "", name)


def has_floors(benchmark: Benchmark) -> bool:
    """Say whether there is anything to draw."""
    return bool(on_threads(benchmark, 1))


def roofline(benchmark: Benchmark) -> Figure:
    """Draw what each primitive does, on all threads, below what memory and cores allow.

    Each point is joined with its own floor, which is made of its own transforms and multiply-adds.
    """
    threads = benchmark["settings"]["threads"]
    figures = on_threads(benchmark, threads)
    figure = Figure((WIDTH, 5.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, technique in zip(panels, ("tomography", "ptychography"), strict=True):
        here = [f for f in figures if f["group"].startswith(technique)]
        _points(axes, here)
        _roofs(axes, benchmark, threads, here)
        axes.set_title(f"{technique}, {threads_in_words(threads)}", fontsize=9, loc="left")
        axes.set_xlabel("operations per byte through memory", fontsize=9)
        axes.grid(alpha=0.25, linewidth=0.6)
        quiet(axes)
    panels[0].set_ylabel("operations per second (Gflop/s)", fontsize=9)
    return figure


def _points(axes: Axes, figures: Sequence[Mapping[str, Any]]) -> None:
    groups = list(dict.fromkeys(f["group"] for f in figures))
    kinds = list(dict.fromkeys(without_threads(f["name"]) for f in figures))
    for f in figures:
        at, rate, best = f["flops"] / f["bytes"], f["flops"] / f["value"] / 1e9, f["flops"] / f["limit_value"] / 1e9
        colour = COLOURS[groups.index(f["group"]) % len(COLOURS)]
        marker = MARKERS[kinds.index(without_threads(f["name"])) % len(MARKERS)]
        axes.plot([at, at], [rate, best], color=colour, linewidth=0.8, alpha=0.6)
        axes.plot([at], [best], "_", color=colour, markersize=7)
        axes.plot([at], [rate], marker, color=colour, markersize=5, markeredgecolor="white", markeredgewidth=0.5)
    for i, kind in enumerate(kinds):
        axes.plot([], [], MARKERS[i % len(MARKERS)], color=GREY, markersize=5, label=kind)
    for i, group in enumerate(groups):
        axes.plot([], [], color=COLOURS[i % len(COLOURS)], linewidth=3, label=group.partition(", ")[2])
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(0, -0.14), frameon=False, ncols=2, columnspacing=1.0)


def _roofs(axes: Axes, benchmark: Benchmark, threads: int, figures: Sequence[Mapping[str, Any]]) -> None:
    """Draw the limits of level 0: memory, multiply-adds, and transforms of the lengths that were measured."""
    known = {f["name"]: f["value"] for f in benchmark["figures"] if f["group"] == "cores"}
    on = f", {threads_in_words(threads)}"
    memory, peak = known[f"memory, c = a + b{on}"] / 1e9, known[f"multiply-adds, matrix product{on}"] / 1e9
    places = [f["flops"] / f["bytes"] for f in figures] or [1.0]
    low, high = min(*places, peak / memory) / ROOM, max(*places, peak / memory) * ROOM
    axes.loglog([low, peak / memory, high], [low * memory, peak, peak], color="black", linewidth=1.2)
    axes.annotate(f"memory {memory:.0f} GB/s", (low, low * memory), xytext=(8, -3), textcoords="offset points",
                  fontsize=7)  # fmt: skip
    axes.annotate(f"multiply-adds {peak:.0f}", (high, peak), xytext=(-2, 3), textcoords="offset points", fontsize=7,
                  ha="right")  # fmt: skip
    rates = {}
    for name, seconds in known.items():
        found = re.fullmatch(r"a transform of (\d+)" + on, name)
        if found:
            rates[int(found[1])] = line_flops(int(found[1])) / seconds / 1e9
    if rates:
        axes.axhspan(min(rates.values()), max(rates.values()), color=GREY, alpha=0.18, linewidth=0)
        lengths = f"transforms of {min(rates)} to {max(rates)}"
        axes.annotate(lengths, (high, min(rates.values())), xytext=(-2, -9), textcoords="offset points", fontsize=7,
                      ha="right", color="#495057")  # fmt: skip
    axes.set_xlim(low, high)


def bars(benchmarks: Sequence[Benchmark]) -> Figure:
    """Draw the ratio of each primitive to its floor: of one benchmark on one and on all threads, of some on all."""
    series = _series(benchmarks)
    rows = list(dict.fromkeys(key for _, values in series for key in values))
    groups = list(dict.fromkeys(group for group, _ in rows))
    lines = len(rows) + 1.6 * len(groups)
    figure = Figure((WIDTH, AROUND + lines * BAR * (0.4 + 0.6 * len(series))), layout="constrained")
    axes, at, ticks, labels = figure.add_subplot(), 0.0, [], []
    end = min(LONGEST, 1.12 * max((value for _, values in series for value in values.values()), default=1.0))
    for group in groups:
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axes.text(0.02 * end, at + 0.3, group, fontsize=7.5, fontweight="bold", va="center", bbox=paper)
        at += 1.2
        for row in (row for row in rows if row[0] == group):
            for number, (_, values) in enumerate(series):
                if row in values:
                    _bar(axes, at, number, len(series), (values[row], end))
            ticks.append(at)
            labels.append(row[1])
            at += 1
        at += 0.4
    axes.axvline(1, color="black", linewidth=0.9)
    axes.set_xlim(0, end)
    axes.set_ylim(at, -0.6)
    axes.set_xlabel("time over the floor's time (1: nothing could be faster with these operations)", fontsize=9)
    quiet(axes)
    axes.set_yticks(ticks, labels, fontsize=7)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    for number, (label, _) in enumerate(series):
        axes.barh(0, 0, color=COLOURS[number % len(COLOURS)], label=label)
    figure.legend(fontsize=7, loc="outside upper right", frameon=False, ncols=len(series))
    return figure


def _series(benchmarks: Sequence[Benchmark]) -> list[tuple[str, dict[tuple[str, str], float]]]:
    """Give what stands beside each other: a label, and ratios by group and name."""
    if len(benchmarks) == 1:
        counts = sorted({1, benchmarks[0]["settings"]["threads"]}, reverse=True)
        which = [(threads_in_words(threads), benchmarks[0], threads) for threads in counts]
    else:
        which = [(b["file"], b, b["settings"]["threads"]) for b in benchmarks]
    return [
        (label, {(f["group"], without_threads(f["name"])): f["ratio"] for f in on_threads(b, threads)})
        for label, b, threads in which
    ]


def _bar(axes: Axes, at: float, number: int, of: int, value: tuple[float, float]) -> None:
    """Draw one of some bars beside each other; value: its length, and where the axis ends."""
    ratio, end = value
    thick = 0.84 / of
    y = at + (number - (of - 1) / 2) * thick
    axes.barh(y, min(ratio, end), thick, color=COLOURS[number % len(COLOURS)], alpha=0.85)
    if ratio < 0.93 * end:
        axes.text(ratio, y, f" {ratio:.2f}", fontsize=6, va="center", color="#495057")
    else:  # there is no room beside it; it may be longer than the axis
        more = " »" if ratio > end else ""
        axes.text(
            min(ratio, end) - 0.01 * end, y, f"{ratio:.2f}{more}", fontsize=6, va="center", ha="right", color="white"
        )
