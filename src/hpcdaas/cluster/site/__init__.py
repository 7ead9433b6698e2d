"""The site file: what one cluster has, what it allows, and whose data lie where. Data only, nothing in it is run."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import ByteSize, Field, ValidationError, field_validator, model_validator

from hpcdaas.cluster.site.owner import Asked, Owner
from hpcdaas.cluster.site.rule import Rule
from hpcdaas.errors import InputError
from hpcdaas.params import Parameters, Time, explain


class Partition(Asked):
    """A partition and its limits."""

    name: str = Field(min_length=1, description="SLURM's name")
    time: Time | None = Field(None, gt=0, description="longest time of a job")
    nodes: int = Field(1, ge=1, description="nodes that one job may have")
    cores: int = Field(ge=1, description="cores of a node")
    memory: ByteSize = Field(gt=0, description="memory of a node that jobs may have")
    gpus: int = Field(0, ge=0, description="GPUs of a node")


class PoolTable(Asked):
    """A pool: jobs whose workers take small runs one by one; with more ranks than one, what a large run is given."""

    name: str = Field(min_length=1, description="cpu, gpu, mpi or another word")
    partition: str = Field(description="where its jobs run")
    cores: int = Field(1, ge=1, description="cores of a worker; one run at a time uses them all")
    memory: ByteSize = Field(gt=0, description="memory of a worker")
    gpus: int = Field(0, ge=0, description="GPUs of a worker")
    nodes: int = Field(1, ge=1, description="nodes of a run; more than one: each run is a job of its own")
    ranks: int = Field(1, ge=1, description="ranks on a node; more than one: each run is a job of its own")
    time: Time = Field(4 * 3600.0, ge=60, description="time limit of its jobs")
    least: int = Field(0, ge=0, description="jobs that are kept while nothing is to be done")
    most: int = Field(1, ge=1, description="jobs at once")

    @property
    def wide(self) -> bool:
        """Whether its runs have many ranks, and so are jobs of their own."""
        return self.nodes * self.ranks > 1


class JobTable(Parameters):
    """What a job does before the program starts."""

    modules: tuple[str, ...] = Field((), description="modules to load")
    environment: Path | None = Field(None, description="folder with bin/hpcdaas; default: that of this program")
    image: Path | None = Field(None, description="Apptainer image in which the program runs")
    bind: tuple[str, ...] = Field((), description="paths that the image sees")
    variables: Mapping[str, str] = Field(default_factory=dict, description="environment variables; no secrets")
    scratch: Path | None = Field(None, description="fast folder of a node")


class MpiTable(Parameters):
    """How ranks are started."""

    launcher: Literal["srun", "mpiexec"] = Field("srun", description="what starts the ranks")
    options: tuple[str, ...] = Field((), description='more arguments of the launcher, for example "--mpi=pmi2"')


class LimitsTable(Parameters):
    """Caps, so that one who errs doesn't fill the cluster."""

    queued: int = Field(200, ge=1, description="own jobs in the queue at once, beside the pools'")
    at_once: int = Field(100, ge=1, description="tasks of a job array that run at once")
    pool_seconds: Time = Field(60.0, ge=0, description="runs estimated shorter go to a worker of a pool")
    tries: int = Field(3, ge=1, description="how often a run starts that fails for a reason of the cluster")
    poll: Time = Field(1.0, gt=0, description="time between two looks into the watched folders")


class FilesTable(Parameters):
    """The shared file system."""

    mode: str = Field("0660", pattern=r"^0?[0-7]{3}$", description="mode of results")
    group: str | None = Field(None, description="group of results; default: the folder's")
    locking: bool = Field(False, description="whether HDF5 locks files: GPFS often has no locks across nodes")


class CatalogTable(Parameters):
    """Where results are registered."""

    uri: str | None = Field(None, description="a path, or https://...; default: the account's own catalogue")
    prefix: str = Field("", description="of persistent identifiers, for example 20.500.12345/")
    nodes_register: bool = Field(False, description="whether jobs may register by themselves")
    raw_pid: str | None = Field(None, description="pid of the beamline's raw scans, from {proposal} {folder} {scan}")
    register_raw: bool = Field(False, description="register raw scans too, where the beamline has no ingestor")


class KeepTable(Parameters):
    """How long what nobody needs any more is kept."""

    logs: Time = Field(30 * 86400.0, gt=0, description="job scripts and logs")
    checkpoints: Time = Field(7 * 86400.0, gt=0, description="checkpoints that no run goes on from")
    ledger: Time = Field(365 * 86400.0, gt=0, description="finished scans in the ledger")


class HealthTable(Parameters):
    """What counts as healthy."""

    waiting: Time = Field(3600.0, gt=0, description="age of the oldest scan that nothing is done about")
    outbox: Time = Field(3600.0, gt=0, description="age of the oldest result that isn't registered")
    heartbeat: Time = Field(120.0, gt=0, description="age of the watcher's last sign of life")


class Site(Parameters):
    """One cluster.

    Raises
    ------
    ValidationError
        See `load_site`, which says it in one line.
    """

    name: str = Field("local", min_length=1, description="what the site is called")
    timezone: str | None = Field(None, description="of raw times without a zone; default: this machine's")
    interface: str | None = Field(None, description="network interface by which workers reach the watcher")
    exclude: tuple[str, ...] = Field((), description="nodes that are never used")
    job: JobTable = Field(default_factory=JobTable)
    mpi: MpiTable = Field(default_factory=MpiTable)
    limits: LimitsTable = Field(default_factory=LimitsTable)
    files: FilesTable = Field(default_factory=FilesTable)
    catalog: CatalogTable = Field(default_factory=CatalogTable)
    keep: KeepTable = Field(default_factory=KeepTable)
    health: HealthTable = Field(default_factory=HealthTable)
    partition: tuple[Partition, ...] = ()
    pool: tuple[PoolTable, ...] = ()
    detector: tuple[Rule, ...] = (Rule(),)
    owner: tuple[Owner, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether there is no cluster: runs are processes of this machine."""
        return not self.partition

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str | None) -> str | None:
        try:
            ZoneInfo(name or "UTC")
        except (OSError, ValueError, KeyError) as error:
            raise ValueError("there is no such time zone") from error
        return name

    @model_validator(mode="after")
    def _fits(self) -> Site:
        for kind, names in (("partition", [p.name for p in self.partition]), ("pool", [p.name for p in self.pool])):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"two tables [[{kind}]] are called '{twice.pop()}'")
        for pool in self.pool:
            self._check_pool(pool)
        return self

    def _check_pool(self, pool: PoolTable) -> None:
        if self.is_local:
            return
        home = next((p for p in self.partition if p.name == pool.partition), None)
        if home is None:
            raise ValueError(f"pool '{pool.name}' is in partition '{pool.partition}', which has no table [[partition]]")
        asked = [(pool.cores * pool.ranks, home.cores, "cores"), (pool.gpus, home.gpus, "GPUs")]
        asked += [(pool.memory, home.memory, "bytes of memory"), (pool.nodes, home.nodes, "nodes at once")]
        for wanted, there, unit in asked:
            if wanted > there:
                raise ValueError(f"pool '{pool.name}' asks for {wanted} {unit}, partition '{home.name}' has {there}")
        if home.time is not None and pool.time > home.time:
            raise ValueError(f"pool '{pool.name}' asks for {pool.time:g} s, '{home.name}' allows {home.time:g} s")

    def run_options(self) -> dict[str, Any]:
        """Give what the site says of every run, as options of `hpcdaas.reconstruct`."""
        return {
            "mode": self.files.mode, "group": self.files.group, "prefix": self.catalog.prefix,
            "timezone": self.timezone, "catalog": self.catalog.uri,
            "deliver": True if self.catalog.nodes_register else None,
        }  # fmt: skip

    def for_jobs(self) -> str:
        """Give, as a site file, what a job has to know: a site file that is edited changes no job that waits."""
        zone = {"timezone": self.timezone} if self.timezone else {}
        tables = {"": zone, "files": self.files.model_dump(), "catalog": self.catalog.model_dump()}
        lines = []
        for name, values in tables.items():
            lines += [f"[{name}]"] if name else []
            # a JSON string or truth value is one of TOML
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
        return "\n".join([*lines, ""])

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders under which all scans must lie: the fixed beginnings of the owners' roots."""
        return tuple(Path(root.split("{", 1)[0] + "_").parent for owner in self.owner for root in owner.roots)

    def rule_for(self, path: Path) -> Rule:
        """Give the detector's rule by which a scan is judged that was named and not found."""
        ends = ["/".join(path.parts[first:]) for first in range(len(path.parts) - 1, 0, -1)]
        return next(
            (rule for rule in self.detector for end in ends if rule.matches(end) or rule.matches(end, folder=True)),
            self.detector[0],
        )

    def partition_of(self, pool: PoolTable) -> Partition:
        """Give the partition of a pool."""
        return next(p for p in self.partition if p.name == pool.partition)

    def owner_of(self, path: Path) -> Owner | None:
        """Say whose a scan is; None where the site has no rules, and all is of one account.

        Raises
        ------
        InputError
            If there are rules, and none is about this path, or it is a link to a file of somebody else.
        """
        if not self.owner:
            return None
        real = Path(os.path.realpath(path))
        found = self._owner_at(real)
        if found is None:
            raise InputError(f"No [[owner]] of the site file says whose {real} is.", "Add one, or move the scan.")
        if found != self._owner_at(Path(os.path.realpath(path.parent)) / path.name):
            raise InputError(f"{path} is a link that leads to a file of another owner, {real}.", "Copy the scan.")
        return found

    def _owner_at(self, path: Path) -> Owner | None:
        return next((filled for owner in self.owner if (filled := owner.of(path))), None)


#: What names the site file where the command line doesn't.
VARIABLE = "HPCDAAS_SITE"


def find_site(path: Path | None = None) -> Site:
    """Load the site file that counts: the one that is named, that of ``HPCDAAS_SITE``, or ``./site.toml``.

    Returns
    -------
    Site
        Where there is none, this machine by itself: `Site.is_local`.

    Raises
    ------
    InputError
        See `load_site`.
    """
    found = site_path(path)
    return load_site(found) if found else Site()


def site_path(path: Path | None = None) -> Path | None:
    """Say which site file `find_site` would load; None where there is none."""
    if path is None and os.environ.get(VARIABLE):
        path = Path(os.environ[VARIABLE])
    if path is None and Path("site.toml").exists():
        path = Path("site.toml")
    return path


def load_site(path: Path) -> Site:
    """Read a site file.

    Raises
    ------
    InputError
        If it isn't there, is no TOML, holds an unknown key, or something in it doesn't fit.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(
            f"The site file {path} can't be read: {reason}.", "'hpcdaas site init' writes one for this cluster."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The site file {path} is no TOML: {error}.") from error
    return parse_site(content, path)


def parse_site(content: Mapping[str, Any], path: Path) -> Site:
    """Check the content of a site file; raises as `load_site`."""
    try:
        return Site.model_validate(content)
    except ValidationError as error:
        raise explain(error, f"The site file {path}", Site) from None
