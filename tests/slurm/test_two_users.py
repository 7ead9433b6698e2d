"""Two real accounts on one cluster: whose results are whose, what a service reads for whom, who touches databases."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest
from private_slurm import Cluster, eventually

from desk import RECIPE
from hpcdaas.io.nxtomo_writer import write_simulation
from hpcdaas.tomo.simulate import Simulation, SimulationParameters

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two other users")
#: Numbers of accounts and groups that are made for these tests; SLURM wants to know their names.
ALICE, BOB, SERVICE, GROUP_A, GROUP_B = 61001, 61002, 61003, 61011, 61012
SITE = """
[job]
environment = "{environment}"
[[partition]]
name = "day"
cores = 2
memory = "2 GB"
time = "1 day"
[limits]
pool_seconds = 0
poll = 0.5
[[detector]]
files = ["*.nxs"]
quiet = "0.5 s"
[catalog]
uri = "{catalog}"
"""
OWNERS = """
[[owner]]
pattern = "{data}/{{proposal}}/raw/**"
group = "{{proposal}}"
owner = "A. Person"
contact_email = "person@example.org"
roots = ["{data}/{{proposal}}"]
"""


@dataclass(frozen=True)
class Account:
    """An account with a home, and the program as it sees it."""

    uid: int
    groups: tuple[int, ...]
    home: Path
    environment: dict[str, str]

    def run(self, *arguments: object, code: int = 0) -> str:
        done = subprocess.run(
            [str(each) for each in arguments], user=self.uid, group=self.groups[0], extra_groups=list(self.groups),
            umask=0o027, cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(autouse=True)
def accounts() -> Iterator[None]:
    """Make the accounts and groups, and remove them."""
    with ExitStack() as stack:
        for number, name in ((GROUP_A, "p1"), (GROUP_B, "p2"), (SERVICE, "own")):
            group = f"hpcdaas-test-{name}"
            system(stack, ["groupadd", "--gid", number, group], ["groupdel", group])
        for number, name, first in ((ALICE, "a", GROUP_A), (BOB, "b", GROUP_B), (SERVICE, "s", SERVICE)):
            account = f"hpcdaas-test-{name}"
            new = ["useradd", "--no-create-home", "--no-log-init", "--uid", number, "--gid", first, account]
            system(stack, new, ["userdel", account])
        system(
            stack, ["usermod", "--append", "--groups", "hpcdaas-test-p1,hpcdaas-test-p2", "hpcdaas-test-s"], ["true"]
        )
        yield


def system(stack: ExitStack, do: list[object], undo: list[str]) -> None:
    """Run a command of the system's administrator, and later the one that takes it back."""
    done = subprocess.run([str(word) for word in do], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"accounts can't be made here: {done.stderr.strip()}")
    stack.callback(subprocess.run, undo, check=True, capture_output=True)


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder that every account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def program(place: Path) -> Iterator[Path]:
    """Give an environment with the program in which other accounts may run it, too."""
    base = place / "python"
    base.mkdir()
    done = subprocess.run(["mount", "--bind", sys.base_prefix, base], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this Python can't be shown to other accounts: {done.stderr.strip()}")
    environment = place / "environment"
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin" / "python"
    python.symlink_to(base / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")
    (environment / "pyvenv.cfg").write_text(f"home = {base / 'bin'}\ninclude-system-site-packages = false\n")
    packages = Path(sysconfig.get_path("purelib"))
    (environment / packages.relative_to(sys.prefix)).parent.mkdir(parents=True)
    (environment / packages.relative_to(sys.prefix)).symlink_to(packages)
    start = f"exec {python} -c 'from hpcdaas.cli.main import main; main()' \"$@\""
    # its own library is where it was installed, and there others can't look
    lines = ["#!/bin/sh", f"export LD_LIBRARY_PATH={base / 'lib'}", start, ""]
    (environment / "bin" / "hpcdaas").write_text("\n".join(lines))
    (environment / "bin" / "hpcdaas").chmod(0o755)
    yield environment
    subprocess.run(["umount", "-l", base], check=True)


def account(place: Path, name: str, uid: int, groups: tuple[int, ...], variables: dict[str, str]) -> Account:
    home = place / name
    home.mkdir()
    os.chown(home, uid, groups[0])
    home.chmod(0o750)
    made = Account(uid, groups, home, {**variables, "HOME": str(home), "USER": name})
    try:
        made.run("hpcdaas", "--version")
    except AssertionError as error:
        pytest.skip(f"this checkout can't be read by other accounts: {str(error).strip().splitlines()[-1]}")
    return made


def scan(path: Path, uid: int, group: int, seed: int = 0) -> Path:
    """Write a scan that its account and its group may read."""
    write_simulation(path, Simulation(SimulationParameters(seed=seed, rows=4, columns=64, angles=48)))
    os.chown(path, uid, group)
    path.chmod(0o640)
    return path


def variables(slurm: Cluster, program: Path) -> dict[str, str]:
    kept = {name: slurm.environment[name] for name in ("SLURM_CONF", "PATH", "LANG") if name in slurm.environment}
    return kept | {"PATH": f"{program / 'bin'}:{slurm.environment['PATH']}"}


def test_each_account_has_its_own_results_state_and_catalogue(place: Path, program: Path, slurm: Cluster) -> None:
    common = variables(slurm, program)
    alice = account(place, "alice", ALICE, (GROUP_A,), common)
    bob = account(place, "bob", BOB, (GROUP_B,), common)
    for who in (alice, bob):
        (who.home / "site.toml").write_text(SITE.format(environment=program, catalog=who.home / "catalogue.db"))
        (who.home / "r.toml").write_text(RECIPE)
    taken = scan(alice.home / "s.nxs", ALICE, GROUP_A)
    alice.run("hpcdaas", "submit", taken, "-r", "r.toml", "-o", "./", "--wait")
    run = json.loads(alice.run("hpcdaas", "status", "--json"))["runs"][0]
    result = Path(run["result"])
    assert run["state"] == "registered"
    assert (result.stat().st_uid, result.stat().st_gid, result.stat().st_mode & 0o007) == (ALICE, GROUP_A, 0)
    # the other account sees neither the scan nor the state, and takes over nothing
    said = bob.run("hpcdaas", "reconstruct", taken, "-o", "mine.h5", code=2)
    assert "Permission denied" in said or "can't be" in said
    for verb in (("status",), ("cancel", run["run"]), ("watch", ".", "-o", "./")):
        said = bob.run("hpcdaas", *verb, "--state", alice.home / ".local/state/hpcdaas", code=2)
        assert "Traceback" not in said
        assert len(said.strip().splitlines()) <= 2
    # what is secret of an account is in no file that others may read
    open_to_all = [path for path in alice.home.rglob("*") if path.is_file() and path.stat().st_mode & stat.S_IROTH]
    assert {path.name for path in open_to_all} <= {"site.toml", "r.toml"}


def test_a_service_for_two_groups_reads_no_group_s_data_for_the_other(
    place: Path, program: Path, slurm: Cluster
) -> None:
    common = variables(slurm, program)
    service = account(place, "service", SERVICE, (SERVICE, GROUP_A, GROUP_B), common)
    data = place / "data"
    for name, uid, group in (("p1", ALICE, GROUP_A), ("p2", BOB, GROUP_B)):
        for sub in ("raw", "results"):
            (data / name / sub).mkdir(parents=True)
            os.chown(data / name / sub, uid, group)
            (data / name / sub).chmod(0o2770)
    text = SITE.format(environment=program, catalog=service.home / "catalogue.db") + OWNERS.format(data=data)
    (service.home / "site.toml").write_text(text)
    (service.home / "r.toml").write_text(RECIPE)
    secret = scan(data / "p1" / "raw" / "secret.nxs", ALICE, GROUP_A, 1)
    scan(data / "p2" / "raw" / "own.nxs", BOB, GROUP_B, 2)
    # the second group's account makes files that lead to the first one's data, which it can't read itself
    (data / "p2" / "raw" / "link.nxs").symlink_to(secret)
    thief = data / "p2" / "raw" / "thief.nxs"
    with h5py.File(thief, "w") as file:
        file["entry"] = h5py.ExternalLink(str(secret), "/entry")
    os.chown(thief, BOB, GROUP_B)
    thief.chmod(0o640)

    arguments = ["-r", "r.toml", "-o", str(data / "p2" / "results") + "/", "--wait", "--json"]
    files = [data / "p2" / "raw" / name for name in ("own.nxs", "link.nxs", "thief.nxs")]
    said = service.run("hpcdaas", "submit", *files, *arguments, code=1)
    runs = {Path(run["scan"]).name: run for run in json.loads(said[: said.rindex("}") + 1])["runs"]}
    assert {name: run["state"] for name, run in runs.items()} == {
        "own.nxs": "registered", "link.nxs": "failed", "thief.nxs": "failed",
    }  # fmt: skip
    for name in ("link.nxs", "thief.nxs"):
        assert "outside" in runs[name]["reason"] or "lead" in runs[name]["reason"], runs[name]["reason"]
    result = Path(runs["own.nxs"]["result"])
    assert result.stat().st_gid == GROUP_B  # of the folder, which has the setgid bit
    assert not list((data / "p2" / "results").glob("*link*"))
    datasets = json.loads(
        service.run("hpcdaas", "catalog", "list", "--json", "--catalog", service.home / "catalogue.db")
    )
    assert {dataset["ownerGroup"] for dataset in datasets} == {"p2"}


def test_a_job_needs_no_database_and_no_token(place: Path, program: Path, slurm: Cluster) -> None:
    """The job runs as an account that may open neither ledger nor catalogue; its record is registered all the same."""
    common = variables(slurm, program)
    alice = account(place, "alice", ALICE, (GROUP_A,), common)
    catalogue = place / "private" / "catalogue.db"
    catalogue.parent.mkdir(mode=0o700)
    (alice.home / "r.toml").write_text(RECIPE)
    (alice.home / "site.toml").write_text(SITE.format(environment=program, catalog=catalogue))
    taken = scan(alice.home / "s.nxs", ALICE, GROUP_A)
    script = "#!/bin/bash\nhpcdaas reconstruct s.nxs -r r.toml -o result.h5 >said.json --json\n"
    (alice.home / "job.sh").write_text(script)
    (alice.home / "job.sh").chmod(0o755)
    alice.run("sbatch", "--partition=day", "--output=log.txt", "--wait", "job.sh")
    said = json.loads((alice.home / "said.json").read_text())
    assert said["pid"] is None
    assert taken.exists()
    record = alice.home / "result.h5.record.json" if (alice.home / "result.h5.record.json").exists() else None
    records = [record] if record else list(alice.home.glob("*.record.json"))
    assert len(records) == 1
    assert not list(catalogue.parent.iterdir())
    delivered = subprocess.run(
        [program / "bin" / "hpcdaas", "catalog", "flush", records[0], "--catalog", catalogue], cwd=place,
        env=common | {"HOME": str(place)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert delivered.returncode == 0, delivered.stderr
    eventually("the catalogue", catalogue.exists)
