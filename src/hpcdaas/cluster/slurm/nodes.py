"""Nodes and partitions, as `sinfo` and `scontrol` print them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hpcdaas.cluster.slurm.states import FIELD, seconds

#: Of `sinfo --Node --format`: name, partition, processors, threads of a core, MiB, GPUs, features, state, why.
NODE = ("%N", "%R", "%c", "%Z", "%m", "%G", "%f", "%T", "%E")
MIB = 2**20


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes
    ----------
    name : str
    partitions : tuple of str
    cores, threads : int
        Cores, and threads on each of them.
    memory : int
        Memory that jobs may have, bytes.
    gpus : int
    gpu_types : tuple of str
        SLURM's names of them (``a100``); empty where it has none.
    features : tuple of str
    state : str
        SLURM's word in lower case, for example ``idle``; a mark behind it (``*``: no answer) is kept.
    reason : str
        Why it can't be used, if so.
    """

    name: str
    partitions: tuple[str, ...]
    cores: int
    threads: int
    memory: int
    gpus: int
    gpu_types: tuple[str, ...]
    features: tuple[str, ...]
    state: str
    reason: str = ""

    @property
    def usable(self) -> bool:
        """Whether jobs can start there, now or when others have ended."""
        word = self.state.rstrip("*~#!%$@^-+")
        return word in ("idle", "mixed", "allocated", "completing", "planned") and not self.state.endswith("*")


@dataclass(frozen=True)
class Partition:
    """A partition; what its nodes have is what the smallest of them has, so that a job fits on any.

    Attributes
    ----------
    name : str
    default : bool
        Whether jobs that name none go there.
    up : bool
    time, default_time : float or None
        Longest time of a job, and that of a job that asks for none, s; None: no limit, no default.
    nodes : int
        Nodes that it has.
    job_nodes : int
        Most nodes of one job.
    cores, memory, gpus : int
        Of a node; memory in bytes.
    gpu_types : tuple of str
    accounts, groups, qos : tuple of str
        Who may use it; empty: everybody.
    """

    name: str
    default: bool
    up: bool
    time: float | None
    default_time: float | None
    nodes: int
    job_nodes: int
    cores: int
    memory: int
    gpus: int
    gpu_types: tuple[str, ...]
    accounts: tuple[str, ...]
    groups: tuple[str, ...]
    qos: tuple[str, ...]


def gpus(gres: str) -> tuple[int, tuple[str, ...]]:
    """Count the GPUs in SLURM's list of generic resources, for example ``gpu:a100:4(S:0-1),craynetwork:2``."""
    found = re.findall(r"(?:^|,)gpu(?::([^:,()]+))??(?::(\d+)[KMG]?)?(?:\([^)]*\))?(?=,|$)", gres)
    kinds = tuple(dict.fromkeys(kind for kind, _ in found if kind))
    return sum(int(count or 1) for _, count in found), kinds


def from_sinfo(output: str) -> list[Node]:
    """Read what `sinfo` printed with `NODE`: a line for each node in each partition."""
    nodes: dict[str, Node] = {}
    for line in output.splitlines():
        fields = line.split(FIELD, len(NODE) - 1)
        if len(fields) < len(NODE):  # the name of the cluster, where there are several
            continue
        name, partition, processors, threads, memory, gres, features, state, reason = fields
        before = nodes[name].partitions if name in nodes else ()
        count, kinds = gpus(gres)
        nodes[name] = Node(
            name=name,
            partitions=(*before, partition),
            cores=max(1, _number(processors) // max(1, _number(threads))),
            threads=max(1, _number(threads)),
            memory=_number(memory) * MIB,
            gpus=count,
            gpu_types=kinds,
            features=tuple(_list(features)),
            state=state.lower(),
            reason="" if reason == "none" else reason,
        )
    return list(nodes.values())


def from_scontrol(output: str, nodes: Sequence[Node]) -> list[Partition]:
    """Read what `scontrol --oneliner show partition` printed; a partition without nodes is left out."""
    read = (dict(re.findall(r"(\w+)=(\S*)", line)) for line in output.splitlines())
    return [
        _partition(fields, having)
        for fields in read
        if (having := [node for node in nodes if fields.get("PartitionName") in node.partitions])
    ]


def _partition(fields: dict[str, str], nodes: Sequence[Node]) -> Partition:
    most = fields.get("MaxNodes", "")
    return Partition(
        name=fields["PartitionName"],
        default=fields.get("Default") == "YES",
        up=fields.get("State", "UP") == "UP",
        time=seconds(fields.get("MaxTime", "")),
        default_time=seconds(fields.get("DefaultTime", "")),
        nodes=len(nodes),
        job_nodes=min(len(nodes), int(most)) if most.isdigit() else len(nodes),
        cores=min(node.cores for node in nodes),
        memory=min(node.memory for node in nodes),
        gpus=min(node.gpus for node in nodes),
        gpu_types=tuple(dict.fromkeys(kind for node in nodes for kind in node.gpu_types)),
        accounts=tuple(_list(fields.get("AllowAccounts", ""))),
        groups=tuple(_list(fields.get("AllowGroups", ""))),
        qos=tuple(_list(fields.get("AllowQos", ""))),
    )


def _list(word: str) -> list[str]:
    return [] if word in ("", "ALL", "(null)", "N/A") else word.split(",")


def _number(word: str) -> int:
    """Read a number; SLURM marks one that differs between nodes with a plus."""
    digits = word.strip().rstrip("+")
    return int(digits) if digits.isdigit() else 0
