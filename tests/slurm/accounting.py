"""SLURM's accounting: slurmdbd with a MariaDB of its own, on sockets of its own folder."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr")
#: Lines of slurm.conf.
LINES = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge/socket
AccountingStorageEnforce=associations,limits,qos
JobAcctGatherType=jobacct_gather/linux
"""
CONFIGURATION = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""


def start(
    folder: Path, port: int, path: str, launch: Callable[..., Any], eventually: Callable[..., None],
    command: Callable[..., str],
) -> None:  # fmt: skip
    """Start the database and slurmdbd, and let this account and its cluster into it.

    Parameters
    ----------
    folder : Path
        Of the cluster.
    port : int
        Of slurmdbd.
    path : str
        Where programs are looked for.
    launch, eventually, command : callable
        Start a daemon with more variables; wait; run a command of SLURM.
    """
    place = folder / "database"
    place.mkdir(mode=0o700)
    data, door = place / "data", place / "socket"
    found = shutil.which("mariadb-install-db", path=path)
    subprocess.run(
        [str(found), "--no-defaults", f"--datadir={data}", f"--user={getpass.getuser()}", "--skip-test-db",
         "--auth-root-authentication-method=normal"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    launch(
        ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={door}", f"--pid-file={place / 'pid'}",
         "--skip-networking", f"--user={getpass.getuser()}", "--innodb-buffer-pool-size=64M", "--skip-log-bin"]
    )  # fmt: skip
    eventually("the database", door.exists)
    host = socket.gethostname().partition(".")[0]
    file = folder / "slurmdbd.conf"
    file.touch(0o600)
    file.write_text(CONFIGURATION.format(folder=folder, host=host, port=port, user=getpass.getuser()))
    launch(["slurmdbd", "-D"], MYSQL_UNIX_PORT=str(door))
    eventually("slurmdbd", lambda: "Cluster" in command("sacctmgr", "show", "cluster", check=False))
    for what in (
        ["cluster", "private"],
        ["account", "beamline", "Cluster=private"],
        ["user", getpass.getuser(), "Account=beamline", "Cluster=private", "AdminLevel=Administrator"],
    ):
        command("sacctmgr", "--immediate", "add", *what)
