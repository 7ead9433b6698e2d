"""What the control groups of this process allow it, in version 1 and 2 of their interface."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def memory_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Give the smallest memory limit of the control group and those above it, bytes; None without one."""
    found = []
    for folder in _folders("memory", root, own):
        texts = (_text(folder / name) for name in ("memory.max", "memory.limit_in_bytes"))
        found += [int(text) for text in texts if text.isdigit()]
    limit = min(found, default=0)
    return limit if 0 < limit < 2**60 else None  # version 1 says "no limit" with a huge number


def core_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Give the smallest quota of processor time of the control group and those above it, in cores, rounded up."""
    found = []
    for folder in _folders("cpu", root, own):
        one = [_text(folder / name) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
        for words in (_text(folder / "cpu.max").split(), one):
            if len(words) == 2 and all(word.isdigit() and int(word) for word in words):  # else "max", or -1
                found.append(-(-int(words[0]) // int(words[1])))
    return min(found, default=None)


def _folders(controller: str, root: Path, own: Path) -> list[Path]:
    """Folders that may hold a controller's limits: those of this process's groups, up to the root of each version."""
    found = [root, root / controller]
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            base = root / controller if controllers else root
            here = base / path.strip("/")
            found += [folder for folder in (here, *here.parents) if folder.is_relative_to(base)]
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
