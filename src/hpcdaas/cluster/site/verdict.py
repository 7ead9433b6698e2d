"""Judges what the jobs of ``hpcdaas doctor --site`` have found by what they had asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcdaas.cluster.site.finding import Finding, note, ok, wrong
from hpcdaas.cluster.site.in_words import count, size
from hpcdaas.cluster.site.script import Shape

#: Seconds there and back after which a shared file system is called slow.
SLOW = 5.0


def of_look(partition: str, shape: Shape, report: Mapping[str, Any]) -> list[Finding]:
    """Judge what a job has on a node.

    Parameters
    ----------
    partition : str
    shape : Shape
        What it asked for.
    report : mapping
        What `hpcdaas.cluster.site.node.look` gave.

    Returns
    -------
    list of Finding
    """
    found = [
        _cores(f"{partition} cores", shape.cores, report),
        _memory(f"{partition} memory", shape.memory, report),
        _files(f"{partition} files", report),
    ]
    return [*found, _gpus(f"{partition} GPU", shape.gpus, report)] if shape.gpus else found


def _cores(name: str, asked: int, report: Mapping[str, Any]) -> Finding:
    threads, bound = report["threads"], report["bound"]
    limit = report["core_limit"]
    said = f"asked for {asked}, a run takes {count(threads, 'thread')}; bound to {count(bound, 'core')}"
    said += f", control group allows {limit}" if limit else ""
    if threads < asked:
        return wrong(name, said, "Ask who runs SLURM: a job gets less than it asks for. Hyper-threads may count twice.")
    if threads > asked:
        return wrong(name, said, "Jobs would take cores of others: see to TaskPlugin=task/affinity or task/cgroup.")
    if min(bound, limit or bound) > asked:
        return note(name, f"{said}: SLURM binds nobody to cores here", "Jobs of others may use the same ones.")
    return ok(name, said)


def _memory(name: str, asked: int, report: Mapping[str, Any]) -> Finding:
    limit, budget = report["memory_limit"], report["budget"]
    said = f"asked for {size(asked)}, a run takes up to {budget / 2**20:.0f} MiB"
    if limit is not None and limit < asked:
        return wrong(name, f"{said}; control group allows {size(limit)}", "Ask who runs SLURM.")
    if budget > asked:
        return wrong(name, said, "SLURM doesn't tell its jobs their memory: see to SelectTypeParameters=CR_..._Memory.")
    if limit is None or limit > 2 * asked:
        return note(name, f"{said}; no limit holds it to that", "Jobs of others may take more than they ask for.")
    return ok(name, f"{said}; control group allows {size(limit)}")


def _files(name: str, report: Mapping[str, Any]) -> Finding:
    if report["missing"]:
        return wrong(
            name, f"{report['node']} has no folder {', '.join(report['missing'])}", "Mount it, or correct roots."
        )
    took = report["there_and_back"]
    if took is None:
        return wrong(name, f"{report['node']} didn't see what was written here", "Ask who runs the file system.")
    free = f"; {report['free'] / 1e9:.3g} GB free in {report['temporary']} of {report['node']}"
    said = f"written on {report['node']}, seen here, and back: {took:.2g} s{free}"
    return (
        ok(name, said) if took < SLOW else note(name, said, "Caches of its metadata are old: scans come so much later.")
    )


def _gpus(name: str, asked: int, report: Mapping[str, Any]) -> Finding:
    there, visible = report["gpus"], report["visible"]
    said = f"asked for {asked}; CUDA_VISIBLE_DEVICES is {visible or 'not set'}"
    if "gpu_error" in report:
        return wrong(name, f"{said}, and {report['node']} has {report['gpu_error']}", "Ask who runs the node.")
    said += f"; {', '.join(there) or 'no GPU'}"
    if len(there) < asked:
        return wrong(name, said, "SLURM gives a GPU that the driver doesn't see: see to gres.conf.")
    if len(there) > asked:
        return note(name, f"{said}: more than it was given", "Jobs of others may use the same ones.")
    return ok(name, said)


def of_meeting(name: str, shape: Shape, report: Mapping[str, Any]) -> Finding:
    """Judge the meeting of a job's ranks; see `of_look`."""
    nodes = list(dict.fromkeys(report["nodes"]))
    said = f"{count(report['ranks'], 'rank')} on {', '.join(nodes)}"
    if report["ranks"] != shape.nodes * shape.ranks or len(nodes) != shape.nodes:
        return wrong(name, f"{said}; {shape.ranks} on each of {shape.nodes} nodes were asked for", "Correct [mpi].")
    if not report["right"]:
        return wrong(name, f"{said} added up numbers, and the sum is wrong", "Don't trust this MPI; ask who runs it.")
    speed = report["bytes"] / report["seconds"] / 1e9
    return ok(name, f"{said} met; {report['bytes'] / 1e6:.3g} MB summed up at {speed:.2g} GB/s")
