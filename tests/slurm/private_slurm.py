"""A SLURM cluster of our own on this machine: munged, slurmctld, and a slurmd for each of two nodes.

It has its own folder, key and ports, listens on loopback only, and ends with the process that started it.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import accounting
from keeper import descendants, kill

KEEPER = Path(__file__).with_name("keeper.py")
#: Debian has the daemons where people's PATH may not reach.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
#: What the launcher of this process may have left: a job of the private cluster shouldn't see it.
FOREIGN = ("SLURM", "SBATCH", "PMI", "OMPI_", "HYDRA_", "MPI_LOCAL")
NODES = ("node1", "node2")

CONFIGURATION = """
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=pmi2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_min_interval=1000,sched_interval=1,bf_interval=1
SlurmctldTimeout=5
SlurmdTimeout=6
KillWait=2
InactiveLimit=0
ReturnToService=2
MaxArraySize=21
MinJobAge=300
DefMemPerCPU=500
EnforcePartLimits=ALL
GresTypes=gpu
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} {node} Feature=intel
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} {node} Feature=amd
PartitionName=day Nodes=node1,node2 Default=YES MaxTime=1-00:00:00 DefaultTime=10 PriorityTier=10
PartitionName=gpu Nodes=node1,node2 MaxTime=8:00:00 DefaultTime=10 PriorityTier=10
PartitionName=short Nodes=node2 MaxTime=5 DefaultTime=1 MaxNodes=1 PriorityTier=10
PartitionName=low Nodes=node1,node2 MaxTime=UNLIMITED DefaultTime=10 PriorityTier=1 PreemptMode=CANCEL
"""
NODE = "Sockets=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=4000 Gres=gpu:2"
GPUS = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"


class CannotStart(Exception):
    """The cluster can't run on this machine: why, in one line."""


def free_ports(count: int) -> list[int]:
    """Find ports of the loopback that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def eventually(what: str, holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something holds.

    Raises
    ------
    TimeoutError
        If it doesn't within the time.
    """
    patience = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > patience:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


class Daemon:
    """A daemon with its keeper (see keeper.py)."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name, self.log = Path(command[0]).name, log
        self._keeper = subprocess.Popen(
            [sys.executable, "-IS", str(KEEPER), str(log), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Control-C is for the tests alone
        )
        assert self._keeper.stdout
        self.pid = int(self._keeper.stdout.readline() or 0)

    @property
    def keeper(self) -> int:
        return self._keeper.pid

    @property
    def alive(self) -> bool:
        return self.pid in descendants(self._keeper.pid)

    def kill(self) -> None:
        """End the daemon by -9; what it started lives on."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        eventually(f"the end of {self.name}", lambda: not self.alive)

    def end(self) -> None:
        """End the daemon politely; what it started lives on."""
        os.kill(self.pid, signal.SIGTERM)
        eventually(f"the end of {self.name}", lambda: not self.alive)

    def crash(self) -> None:
        """End the daemon and all that it started by -9."""
        kill(descendants(self._keeper.pid))
        eventually(f"the end of {self.name}", lambda: not descendants(self._keeper.pid))

    def close(self) -> None:
        """Ask its keeper to end the daemon and all that it started."""
        for pipe in (self._keeper.stdin, self._keeper.stdout):
            assert pipe
            pipe.close()

    def wait(self) -> None:
        self._keeper.wait(30)


class Cluster:
    """A private SLURM cluster of two nodes, each with 4 cores, 4000 MB and 2 fake GPUs.

    Partitions: ``day`` (the default), ``gpu``, ``short`` (5 minutes, node2 only), and ``low``, whose jobs make way for
    others. There are at most 20 tasks in an array.

    Parameters
    ----------
    folder : Path
        Where everything of it is; made, and open to all users.
    changes : mapping of str, optional
        Lines of slurm.conf that differ from `CONFIGURATION`, for example ``{"MinJobAge": "2"}``.
    accounting : bool
        Whether slurmdbd runs with a database of its own, so that sacct works.

    Attributes
    ----------
    environment : dict of str
        For processes that shall see this cluster, and no other.
    """

    def __init__(self, folder: Path, changes: Mapping[str, str] | None = None, accounting: bool = False) -> None:
        self.folder = folder
        self._changes = dict(changes or {})
        self.changes = dict(self._changes)
        self.accounting = accounting
        self._daemons: list[Daemon] = []
        self._slurmctld: Daemon | None = None
        self._slurmd: dict[str, Daemon] = {}
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        self.environment |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}

    def start(self) -> Cluster:
        """Start all daemons and wait until both nodes are ready.

        Raises
        ------
        CannotStart
            With the reason, if this machine can't do it.
        """
        wanted = (*PROGRAMS, *(accounting.PROGRAMS if self.accounting else ()))
        missing = [each for each in wanted if not shutil.which(each, path=PATH)]
        if missing:
            raise CannotStart(f"{', '.join(missing)} missing: apt-get install slurm-wlm munge")
        try:
            self._start()
        except BaseException as error:
            reason = self._complaint()
            self.stop()
            if isinstance(error, Exception):
                raise CannotStart(f"{error}. {reason}") from error
            raise
        return self

    def _start(self) -> None:
        self._write_files()
        self._start_munged()
        if self.accounting:
            accounting.start(self.folder, self._ports[3], PATH, self._launch, eventually, self.command)
        self._start_slurmctld()
        for node in NODES:
            self.start_slurmd(node, wait=False)
        eventually("two idle nodes", lambda: self.node_states() == {node: "idle" for node in NODES})

    def _write_files(self) -> None:
        self._ports = free_ports(4)
        for name, mode in (("", 0o755), ("munge", 0o755), ("state", 0o700), ("log", 0o755)):
            (self.folder / name).mkdir(mode=mode, parents=True, exist_ok=True)
            (self.folder / name).chmod(mode)
        key = self.folder / "munge" / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        (self.folder / "gres.conf").write_text(GPUS)
        self._write_configuration()

    def _write_configuration(self) -> None:
        user, host = getpass.getuser(), socket.gethostname().partition(".")[0]
        text = CONFIGURATION.format(folder=self.folder, host=host, user=user, node=NODE, ports=self._ports)
        more = accounting.LINES.format(port=self._ports[3], folder=self.folder) if self.accounting else ""
        told = {line.partition("=")[0] for line in more.splitlines()} | set(self.changes)
        lines = [line for line in text.splitlines() if line.partition("=")[0] not in told] + more.splitlines()
        lines += [f"{key}={value}" for key, value in self.changes.items()]
        (self.folder / "slurm.conf").write_text("\n".join(lines) + "\n")

    def _start_munged(self) -> None:
        place = self.folder / "munge"
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={place / name}" for option, name in files.items()]
        self._launch(["munged", "--foreground", *options])
        eventually("munged", (place / "socket").exists)

    def _start_slurmctld(self) -> None:
        self._slurmctld = self._launch(["slurmctld", "-D"])
        eventually("slurmctld", self.answers)

    def _launch(self, command: list[str], name: str = "", **variables: str) -> Daemon:
        program = shutil.which(command[0], path=PATH)
        assert program
        log = self.folder / "log" / (name or command[0])
        daemon = Daemon([program, *command[1:]], log, self.environment | variables)
        self._daemons.append(daemon)
        return daemon

    def _complaint(self) -> str:
        """Give the last line that a daemon said before it ended."""
        for daemon in self._daemons:
            if not daemon.alive:
                lines = daemon.log.read_text(errors="replace").strip().splitlines()
                return f"{daemon.name}: {lines[-1] if lines else 'ended without a word'}"
        return "All daemons run."

    def stop(self) -> None:
        """End all daemons and jobs."""
        daemons, self._daemons = self._daemons, []
        for daemon in daemons:
            daemon.close()
        for daemon in daemons:
            daemon.wait()

    def command(self, *arguments: str, check: bool = True, **options: str) -> str:
        """Run a command of SLURM and give what it said."""
        done = subprocess.run(
            arguments, env=self.environment, capture_output=True, text=True, timeout=30, check=False, **options
        )
        if check and done.returncode:
            raise AssertionError(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def answers(self) -> bool:
        """Say whether slurmctld answers."""
        return "is UP" in self.command("scontrol", "ping", check=False)

    def node_states(self) -> dict[str, str]:
        """Give the state of each node."""
        lines = self.command("sinfo", "--noheader", "--Node", "--partition=day", "--format=%N %T", check=False)
        return {name: state for name, state in (line.split() for line in lines.splitlines())}

    def slurmds(self) -> dict[str, int]:
        """Give the nodes whose daemons run, with their keepers, of which all processes of jobs descend."""
        return {node: daemon.keeper for node, daemon in self._slurmd.items()}

    def kill_slurmd(self, node: str, jobs: bool = False) -> None:
        """End a node's daemon by -9; with `jobs` all that runs there too, as if its power went off."""
        daemon = self._slurmd.pop(node)
        if jobs:
            daemon.crash()
        else:
            daemon.kill()

    def fail(self, node: str) -> None:
        """Let a node's power go off, and SLURM notice it at once."""
        self.kill_slurmd(node, jobs=True)
        self.command("scontrol", "update", f"nodename={node}", "state=down", "reason=power")

    def start_slurmd(self, node: str, wait: bool = True) -> None:
        """Start a node's daemon, where it was killed before."""
        (self.folder / f"spool-{node}").mkdir(mode=0o755, exist_ok=True)
        self._slurmd[node] = self._launch(["slurmd", "-D", "-N", node], name=f"slurmd-{node}")
        if wait:
            ready = ("idle", "mixed", "allocated", "completing")
            eventually(f"the return of {node}", lambda: self.node_states().get(node) in ready)

    def kill_slurmctld(self) -> None:
        """End slurmctld by -9: jobs run on, commands can't reach it, and it forgets jobs of the last 5 s."""
        assert self._slurmctld
        self._slurmctld.kill()
        self._slurmctld = None

    def stop_slurmctld(self) -> None:
        """End slurmctld as a service manager does: it saves its state first."""
        assert self._slurmctld
        self._slurmctld.end()
        self._slurmctld = None

    def start_slurmctld(self) -> None:
        """Start slurmctld, where it was ended before; it goes on from its saved state."""
        self._start_slurmctld()

    def restart_slurmctld(self) -> None:
        """Restart slurmctld as a service manager does."""
        self.stop_slurmctld()
        self.start_slurmctld()

    def configure(self, **changes: str) -> None:
        """Change lines of slurm.conf while the cluster runs."""
        self.changes |= changes
        self._write_configuration()
        self.command("scontrol", "reconfigure")

    def cancel_all(self) -> None:
        """Cancel all jobs and wait until they are gone."""
        if self.command("squeue", "--noheader"):
            self.command("scancel", f"--user={getpass.getuser()}", check=False)
            self.command("scancel", f"--user={getpass.getuser()}", "--signal=KILL", "--full", check=False)
        eventually("an empty queue", lambda: not self.command("squeue", "--noheader"))

    def repair(self) -> None:
        """Make the cluster as it was at the start, with an empty queue."""
        if not self._slurmctld:
            self.start_slurmctld()
        if self.changes != self._changes:
            self.changes = dict(self._changes)
            self.configure()
        self.cancel_all()
        for node in NODES:
            if node not in self._slurmd:
                self.start_slurmd(node)


@contextmanager
def private_slurm(changes: Mapping[str, str] | None = None, accounting: bool = False) -> Iterator[Cluster]:
    """Give a running cluster in a new folder, which is removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: paths of sockets may have 107 characters
    cluster = Cluster(folder, changes, accounting)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
