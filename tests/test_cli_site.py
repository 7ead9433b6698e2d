"""`site init` from what SLURM said, and `site check` where there is no cluster; tests/slurm has both with one."""

from __future__ import annotations

import grp
import http.server
import os
import re
import socket
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import CommandLine, Ended
from hpcdaas.cluster.site import Partition, Site, parse_site
from hpcdaas.cluster.site.ask import from_associations, from_mpi_list
from hpcdaas.cluster.site.check import _too_much, catalogue
from hpcdaas.cluster.site.in_words import duration, size
from hpcdaas.cluster.site.init import Cluster, compose
from hpcdaas.cluster.slurm.nodes import from_scontrol, from_sinfo
from hpcdaas.cluster.slurm.states import FIELD
from served import served

#: What SLURM 22.05.8 printed; the separators of sinfo's fields are shown as |.
SINFO = """\
node1|gpu|4|1|4000|gpu:2|intel|idle|none
node1|day|4|1|4000|gpu:2|intel|idle|none
node2|gpu|4|1|4000|gpu:2|amd|idle|none
node2|short|4|1|4000|gpu:2|amd|idle|none
node2|day|4|1|4000|gpu:2|amd|idle|none
node2|low|4|1|4000|gpu:2|amd|idle|none
"""
FIELDS = (
    "AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default={default} QoS=N/A DefaultTime=00:10:00 "
    "DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes={most} MaxTime={time} MinNodes=0 LLN=NO "
    "MaxCPUsPerNode=UNLIMITED Nodes=node[1-2] PriorityJobFactor=1 PriorityTier=10 RootOnly=NO ReqResv=NO "
    "OverSubscribe=NO OverTimeLimit=NONE PreemptMode=REQUEUE State=UP TotalCPUs=8 TotalNodes=2 "
    "SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED "
    "TRES=cpu=8,mem=8000M,node=2,billing=8"
)
SCONTROL = "\n".join(
    f"PartitionName={name} {FIELDS.format(default=default, most=most, time=time)}"
    for name, default, most, time in (
        ("day", "YES", "UNLIMITED", "1-00:00:00"),
        ("gpu", "NO", "UNLIMITED", "08:00:00"),
        ("short", "NO", "1", "00:05:00"),
        ("low", "NO", "UNLIMITED", "UNLIMITED"),
    )
)
MPI_LIST = """\
MPI plugin types are...
\tpmix
\tnone
\tcray_shasta
\tpmi2
specific pmix plugin versions available: pmix_v4
"""
#: As versions before 22.05 print it.
OLD_MPI_LIST = "srun: MPI types are...\nsrun: none\nsrun: pmi2\nsrun: openmpi\n"
NODES = from_sinfo(SINFO.replace("|", FIELD))
PARTITIONS = tuple(from_scontrol(SCONTROL, NODES))


def cluster(**changes: object) -> Cluster:
    return replace(Cluster("here", PARTITIONS, mpi=from_mpi_list(MPI_LIST), longest_array="1001"), **changes)  # type: ignore[arg-type]


def loaded(text: str) -> Site:
    return parse_site(tomllib.loads(text), Path("site.toml"))


def test_what_slurm_says_is_in_the_file() -> None:
    here = loaded(compose(cluster(timezone="Europe/Zurich", modules=("hpcdaas/0.1.0",))))
    assert (here.name, here.timezone, here.job.modules) == ("here", "Europe/Zurich", ("hpcdaas/0.1.0",))
    assert {p.name: (p.time, p.nodes, p.cores, p.memory, p.gpus) for p in here.partition} == {
        "day": (86400, 2, 4, 4000 * 2**20, 2),
        "gpu": (8 * 3600, 2, 4, 4000 * 2**20, 2),
        "short": (300, 1, 4, 4000 * 2**20, 2),
        "low": (None, 1, 4, 4000 * 2**20, 2),
    }
    (pool,) = here.pool
    assert (pool.partition, pool.cores, pool.memory, pool.time) == ("day", 4, 4000 * 2**20, 8 * 3600)


def switched_on(text: str) -> str:
    """Take the # from all lines that are proposals: keys and tables."""
    return re.sub(r"^# (?=\w+ = |\[\[)", "", text, flags=re.MULTILINE)


def test_all_that_is_proposed_would_be_taken() -> None:
    text = compose(cluster(accounts=("beam", "x26")))
    assert "yours: beam, x26" in text
    here = loaded(switched_on(text))
    assert [pool.name for pool in here.pool] == ["cpu", "mpi", "gpu"]
    assert (here.pool[1].nodes, here.pool[2].partition, here.pool[2].gpus) == (2, "gpu", 1)
    assert here.partition[0].account == "beam"
    assert here.owner
    assert here.detector[0].name == "eiger"


def test_each_decision_says_so() -> None:
    text = compose(cluster())
    for key in ("nodes", "account", "options", "queued", "most", "uri", "scratch"):
        assert re.search(rf"^(# )?{key} = .*DECIDE", text, re.MULTILINE), key


def test_a_large_cluster_with_few_nodes_of_a_kind() -> None:
    big = replace(PARTITIONS[0], name="cn", nodes=300, job_nodes=300, cores=128, memory=512 * 2**30, gpus=0)
    here = loaded(switched_on(compose(cluster(partitions=(big,)))))
    assert (here.pool[0].cores, here.pool[0].memory) == (16, 64 * 2**30)
    assert (here.pool[1].ranks, here.pool[1].cores) == (4, 32)
    assert len(here.pool) == 2  # nothing about GPUs where there are none


def test_words_of_others_stay_comments() -> None:
    bad = 'no\n[[owner]]\nroots = ["/"]'
    text = compose(cluster(name='a "b"\n[limits]', refused=(("closed", bad),), accounts=(bad,), mpi=(bad,)))
    assert loaded(text).owner == ()
    assert loaded(text).name == 'a "b"\n[limits]'
    assert "# Partition closed takes no jobs of yours: no [[owner]]" in text


@pytest.mark.parametrize(
    ("default", "known", "options"),
    [("pmi2", MPI_LIST, ()), ("none", MPI_LIST, ("--mpi=pmix",)), ("none", OLD_MPI_LIST, ("--mpi=pmi2",))],
)
def test_srun_is_told_which_mpi_where_it_has_no_default(default: str, known: str, options: tuple[str, ...]) -> None:
    here = loaded(compose(cluster(mpi=from_mpi_list(known), mpi_default=default)))
    assert (here.mpi.launcher, here.mpi.options) == ("srun", options)


def test_without_srun_mpiexec_starts_ranks() -> None:
    assert loaded(compose(cluster(mpi=()))).mpi.launcher == "mpiexec"


def test_what_srun_and_sacctmgr_print() -> None:
    assert from_mpi_list(MPI_LIST) == ("pmix", "none", "cray_shasta", "pmi2", "pmix_v4")
    assert from_mpi_list(OLD_MPI_LIST) == ("none", "pmi2", "openmpi")
    assert from_associations("x26\nbeam\nroot\nbeam\n") == ("x26", "beam", "root")
    assert from_associations("") == ()


@pytest.mark.parametrize(
    ("seconds", "words"), [(86400, "1 day"), (172800, "2 days"), (28800, "8 h"), (5400, "90 min"), (61, "61 s")]
)
def test_times_in_words_are_read_again(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    assert Partition(name="x", cores=1, memory=1, time=words).time == seconds  # type: ignore[arg-type]
    assert Partition(name="x", cores=1, memory=size(3 * 2**30 + 2**20)).memory == 3 * 2**30 + 2**20  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("day", {}, ""),
        ("day", {"time": 100000.0}, "time is 100000 s, SLURM's limit 1 day"),
        ("short", {"time": None}, "no time is given, SLURM's limit is 5 min"),
        ("short", {"time": 60.0, "nodes": 2}, "nodes is 2, SLURM allows a job 1"),
        ("day", {"cores": 5}, "cores is 5, its largest node has 4"),
        ("day", {"memory": 4001 * 2**20}, "memory is 4001 MiB, its largest node has 4000 MiB"),
        ("day", {"gpus": 3}, "gpus is 3, its largest node has 2"),
    ],
)
def test_more_than_slurm_has(name: str, changes: dict[str, object], message: str) -> None:
    there = next(p for p in PARTITIONS if p.name == name)
    asked = Partition(**{"name": name, "cores": 4, "memory": 4000 * 2**20, "time": 60.0, **changes})  # type: ignore[arg-type]
    assert _too_much(asked, there, NODES) == message


def test_no_node_has_all_at_once() -> None:
    nodes = [replace(NODES[0], gpus=0), replace(NODES[1], cores=2)]
    asked = Partition(name="day", cores=4, memory=2**30, time=60.0, gpus=2)  # type: ignore[arg-type]
    assert "together" in _too_much(asked, PARTITIONS[0], nodes)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Give the command line in an empty folder, on a machine without SLURM."""
    monkeypatch.chdir(tmp_path)
    found = CommandLine(tmp_path / "home")
    found.environment |= {"PATH": "/nowhere:/bin", "XDG_STATE_HOME": str(tmp_path / "state-home")}
    return found


def check(run: CommandLine, text: str) -> Ended:
    Path("site.toml").write_text(text)
    return run.run("site", "check")


def test_without_slurm_init_is_one_message(run: CommandLine) -> None:
    run.environment["PATH"] = "/nowhere"
    ended = run.run("site", "init")
    assert (ended.code, ended.out) == (2, "")
    assert "SLURM's commands aren't on the PATH" in ended.message[0]
    assert len(ended.message) == 2


def test_init_overwrites_nothing(run: CommandLine) -> None:
    Path("site.toml").write_text("mine")
    ended = run.run("site", "init", "-o", "site.toml")
    assert ended.code == 2
    assert "is there already" in ended.message[0]
    assert Path("site.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "is no TOML"),
        ('[[partition]]\nname = "x"\ncores = 1\ncoers = 1\nmemory = 1', "no parameter 'coers'"),
        (None, "There is no site file"),
    ],
)
def test_a_malformed_file_is_refused(run: CommandLine, text: str | None, message: str) -> None:
    ended = check(run, text) if text is not None else run.run("site", "check")
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.message[0]


def test_a_good_file_without_a_cluster(run: CommandLine) -> None:
    ended = check(run, 'name = "desk"')
    assert ended.code == 0, ended.out
    lines = ended.out.splitlines()
    assert lines[0].split()[:2] == ["file", "ok"]
    assert lines[-1] == "All is well."
    assert any(re.match(r"program +ok +hpcdaas \d", line) for line in lines)


def test_each_fault_is_a_finding(run: CommandLine) -> None:
    Path("closed").write_text("a file where the state folder should be")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        Path("site.toml").write_text(f"""
            interface = "nope0"
            [job]
            environment = "/nope"
            [files]
            group = "no-such-group"
            [catalog]
            uri = "http://127.0.0.1:{free.getsockname()[1]}"
            [[owner]]
            pattern = "/nope/{{proposal}}/**"
            roots = ["/nope/{{proposal}}"]
        """)
        ended = run.run("site", "check", "--state", "closed/state", "--json")
    assert ended.code == 1
    found = {each["name"]: each for each in ended.json["checks"]}
    assert ended.json["ok"] is False
    assert {name for name, each in found.items() if each["state"] == "wrong"} == {
        "state", "roots", "group", "interface", "program", "catalogue",
    }  # fmt: skip
    assert "/nope/bin/hpcdaas" in found["program"]["found"]
    assert "can't be reached" in found["catalogue"]["found"]


class Other(http.server.BaseHTTPRequestHandler):
    """A server that is no catalogue."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def another_server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_the_catalogue_of_a_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with served(tmp_path) as server:
        found = catalogue(server.url)
        assert (found.state, "answers in" in found.found) == ("ok", True), found
    with another_server() as url:
        assert "no SciCat backend" in catalogue(url).found
    assert "http:// would show the login" in catalogue("http://example.org").found
    assert catalogue(f"sqlite:///{tmp_path}/mine.db").state == "ok"
    assert catalogue(f"sqlite:///{tmp_path}/nope/mine.db").state == "wrong"


def test_the_group_of_an_account(run: CommandLine) -> None:
    mine = grp.getgrgid(os.getegid()).gr_name
    ended = check(run, f'[files]\ngroup = "{mine}"')
    assert re.search(rf"^group +ok +{mine}", ended.out, re.MULTILINE)
