"""The folder of one process's pools: its lease, the keys of its TLS, the output of its jobs; what dead ones left."""

from __future__ import annotations

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hpcdaas.errors import HpcdaasError, InputError
from hpcdaas.lease import Held, Lease

if TYPE_CHECKING:
    from distributed.security import Security

#: Seconds after which a folder without a lease was left by a process that died while it made it.
YOUNG = 60.0
KEY, CERTIFICATE = "key.pem", "certificate.pem"


class Session:
    """A folder of mode 0700 in ``STATE/pools`` that lives as long as its process does.

    Workers read the keys there: it has to be seen from the nodes, as the state folder is, and nobody
    else's may it be. Job scripts and command lines name the files only.

    Parameters
    ----------
    state : Path
        The state folder; it is made.

    Raises
    ------
    InputError
        If the folder can't be made, or there is no ``openssl``.
    """

    def __init__(self, state: Path) -> None:
        self.name = uuid.uuid4().hex[:8]
        self.folder = state.absolute() / "pools" / self.name
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o2770)
            self.folder.mkdir(mode=0o700)
            self.folder.chmod(0o700)  # a default ACL of the state folder may have widened it
            self._lease = Lease(self.folder / "lease")
        except OSError as error:
            raise InputError(f"{self.folder} can't be made: {error.strerror}.", "Give another --state.") from error
        try:
            _make_key(self.folder)
        except BaseException:
            self.close()
            raise

    def output(self, pool: str) -> Path:
        """Give the folder for what a pool's jobs say; it is made, and its name says that there was this pool."""
        folder = self.folder / "pool" / pool
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def job_name(self, pool: str) -> str:
        """Give the name of a pool's jobs: a process that comes later finds them by it."""
        return job_name(pool, self.name)

    def close(self) -> None:
        """Remove the folder with the keys."""
        with suppress(OSError):
            self._lease.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def job_name(pool: str, session: str) -> str:
    """Give the name of the jobs of a session's pool."""
    return f"hpcdaas-pool-{pool}-{session}"


def abandoned(state: Path) -> Iterator[list[str]]:
    """Give the job names of each process that died without closing its pools, then remove what it left.

    What is given has to be cancelled before the next one is asked for: only then the folder goes.

    Parameters
    ----------
    state : Path
        The state folder.
    """
    for folder in sorted((state.absolute() / "pools").glob("*")):
        lease = _taken(folder)
        if lease is None:
            continue
        try:
            yield [job_name(pool.name, folder.name) for pool in sorted((folder / "pool").glob("*"))]
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            with suppress(OSError):
                lease.release()


def _taken(folder: Path) -> Lease | None:
    """Take the lease of a folder, if its process is dead."""
    try:
        if not (folder / "lease").exists() and time.time() - folder.stat().st_mtime < YOUNG:
            return None
        return Lease(folder / "lease")
    except (Held, OSError):
        return None


def security(folder: Path) -> Security:
    """Give what all Dask processes of a session prove themselves with, to each other and nobody else."""
    from distributed.security import Security

    key, certificate = str(folder / KEY), str(folder / CERTIFICATE)
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=certificate,
        **{f"tls_{role}_key": key for role in roles},
        **{f"tls_{role}_cert": certificate for role in roles},
    )


def _make_key(folder: Path) -> None:
    """Make a key and a certificate that it has signed itself; whoever holds the key belongs to the session."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", KEY, "-out", CERTIFICATE, "-days", "3650", "-subj", "/CN=hpcdaas"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, umask=0o077, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            "Pools need the program 'openssl', which makes the keys of their TLS.", "Install it."
        ) from error
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise HpcdaasError(f"openssl can't make the keys of the pools in {folder}: {reason}.")
