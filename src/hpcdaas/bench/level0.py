"""Level 0, the machine: what its cores, ranks, files and GPU can do, whoever asks them."""

from __future__ import annotations

from hpcdaas.bench import disk, gpu, ranks
from hpcdaas.bench.cores import BYTE, MULTIPLY_ADD, Cores, line, threads_in_words
from hpcdaas.bench.rounds import Task
from hpcdaas.bench.run import Run
from hpcdaas.bench.work import fbp_lengths
from hpcdaas.errors import HpcdaasError

CORES, RANKS, FILES = "cores", "two ranks", "files"
#: Lines of frames, and the columns of the slices whose lines are transformed.
FRAMES, COLUMNS = (128, 256, 512), (2048, 128)


def measure(run: Run) -> None:
    """Add the figures of the machine."""
    _cores(run)
    _ranks(run)
    _files(run)
    run.teller.begin("GPU", 1)
    gpu.add_figures(run.report, run.quick)
    run.teller.step("GPU")


def _cores(run: Run) -> None:
    lengths = tuple(dict.fromkeys(FRAMES + fbp_lengths(COLUMNS[run.quick])))
    tasks: dict[str, Task] = {}
    every = [Cores(threads, run.quick) for threads in run.threads]
    for cores in every:
        tasks |= cores.tasks(lengths)
    rounds = run.interleave(CORES, tasks)
    for cores in every:
        cores.close()
    first = threads_in_words(1)
    for threads in run.threads:
        on = threads_in_words(threads)
        for name in (BYTE, MULTIPLY_ADD, *map(line, lengths)):
            task, one = f"{name}, {on}", f"{name}, {first}"
            seconds = rounds.median(task)
            value, unit = {BYTE: (1 / seconds, "B/s"), MULTIPLY_ADD: (2 / seconds, "flop/s")}.get(name, (seconds, "s"))
            shown = {BYTE: "memory, c = a + b", MULTIPLY_ADD: "multiply-adds, matrix product"}.get(name, name)
            more = {} if threads == 1 else {"limit": f"times {first}", "ratio": rounds.ratio(one, task)}
            run.report.add(f"{shown}, {on}", value, unit, group=CORES, **more)


def _ranks(run: Run) -> None:
    run.teller.begin(RANKS, 1)
    try:
        rounds = ranks.measure(run.folder, run.quick)
    except HpcdaasError as error:
        run.report.notes.append(f"Ranks: not measured. {error.message}")
        return
    finally:
        run.teller.step(RANKS)
    run.keep(RANKS, rounds)
    ranks.add_figures(run.report, rounds, RANKS)


def _files(run: Run) -> None:
    folder = run.folder / "disk"
    folder.mkdir()
    used = disk.Disk(folder, run.quick)
    try:
        rounds = run.interleave(FILES, used.tasks())
    finally:
        used.close()
    for task, name in ((disk.WRITE, "written and synced, 16 slices at once"), (disk.READ, "read from the disk")):
        run.report.add(name, 1 / rounds.median(task), "B/s", group=FILES)
    run.report.add(disk.SYNC, rounds.median(disk.SYNC), "s", group=FILES)
