"""One call of a command of SLURM, and what its complaints mean."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence

from hpcdaas.cluster.slurm.environment import for_jobs, for_queries
from hpcdaas.errors import HpcdaasError, InputError

#: What the commands say when slurmctld, slurmdbd or munged didn't answer.
AWAY = re.compile(
    r"unable to contact slurm|socket timed out|connection (refused|timed out|reset)|zero bytes were transmitted"
    r"|controller is in standby|backup controller|communications? (connection )?(failure|error|shutdown|receive|send)"
    r"|configuration source|authentication (error|credential|failed)|munge|insane message length"
    r"|unspecified error|problem talking to|failed to open persistent|sending persist|failed to connect",
    re.I,
)
#: What a refusal says that may be gone later: caps on queued jobs, a cluster that is busy with itself.
TRANSIENT = re.compile(
    r"\w*(MaxSubmit|GrpSubmit)\w*|resource temporarily unavailable|temporarily unable|in reconfiguration|transitioning"
    r"|requested nodes are busy|not available now|(node|partition) not available|inactive state|partition is (down|drained)"  # noqa: E501
    r"|too many|job limit|slow down",
    re.I,
)
#: What sacct says where a site has none.
NO_SUCH_ACCOUNTING = "accounting storage is disabled"


class SlurmAway(HpcdaasError):
    """SLURM doesn't answer: wait, and ask again.

    After a `submit` that ended so the job may exist: look for its name before it is submitted again.
    """

    code = "slurm-away"


class SlurmRefused(HpcdaasError):
    """SLURM answered no; the message is its own.

    Parameters
    ----------
    message, hint : str
    transient : bool
        Whether the same may be accepted later.
    """

    code = "slurm-refused"

    def __init__(self, message: str, hint: str = "", transient: bool = False) -> None:
        super().__init__(message, hint)
        self.transient = transient


def complaint(command: str, output: str) -> str:
    """Give what a command complained about as one line without its decoration."""
    lines = [re.sub(rf"^({command}|slurm_\w+)(: )?( ?error| ?fatal)?: ", "", line) for line in output.splitlines()]
    told = [re.sub(r"^Batch job submission failed: ", "", line).strip() for line in lines]
    return "; ".join(dict.fromkeys(line for line in told if line)) or "no reason given"


def failure(command: str, output: str) -> HpcdaasError:
    """Tell what a command's complaint means."""
    said = complaint(command, output)
    if AWAY.search(output):
        return SlurmAway(f"SLURM doesn't answer: {said}", "Is slurmctld up? `scontrol ping` says.")
    if TRANSIENT.search(output):
        return SlurmRefused(f"SLURM refuses for now: {said}", "It is tried again later.", transient=True)
    return SlurmRefused(f"SLURM refuses: {said}", "Correct the site file, or ask for less.")


class Commands:
    """Calls commands of SLURM.

    Parameters
    ----------
    timeout : float
        Longest time of a call, s.
    cluster : str
        Name of the cluster where a site has several under one SLURM (``--clusters``).

    Attributes
    ----------
    calls : Counter of str
        How often each command was called: each is at least one request to slurmctld.

    Raises
    ------
    InputError
        If there are no such commands on this machine.
    """

    def __init__(self, timeout: float = 30.0, cluster: str = "") -> None:
        self.timeout, self.cluster = timeout, cluster
        self.calls: Counter[str] = Counter()
        missing = [name for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo") if not shutil.which(name)]
        if missing:
            raise InputError(
                f"SLURM's commands aren't on the PATH: {', '.join(missing)}.",
                "Run this on a login node of the cluster, or load the site's module of SLURM.",
            )

    def run(self, command: str, *arguments: str, given: str | None = None) -> str:
        """Call a command and give what it printed.

        Parameters
        ----------
        command : str
        *arguments : str
        given : str, optional
            Its standard input.

        Raises
        ------
        SlurmAway
            If there was no answer within the time.
        SlurmRefused
            If the answer was no.
        """
        self.calls[command] += 1
        where = [f"--clusters={self.cluster}"] if self.cluster else []
        try:
            done = subprocess.run(
                [command, *where, *arguments],
                input=given if given is not None else "",
                env=(for_jobs if command == "sbatch" else for_queries)(os.environ),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=self.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SlurmAway(f"SLURM doesn't answer: {command} took over {self.timeout:g} s.") from error
        except OSError as error:
            raise _not_run(command, arguments, error) from error
        if done.returncode:
            raise failure(command, done.stderr or done.stdout)
        return done.stdout

    def offers(self, command: str) -> bool:
        """Say whether there is a command."""
        return shutil.which(command) is not None


def _not_run(command: str, arguments: Sequence[str], error: OSError) -> HpcdaasError:
    size = sum(map(len, arguments))
    return HpcdaasError(f"{command} can't be started ({size} characters of arguments): {error.strerror}.")
