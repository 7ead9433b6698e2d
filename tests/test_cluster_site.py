"""The site file: what it says, what doesn't fit, whose a scan is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hpcdaas.cluster.site import Site, find_site, load_site, parse_site
from hpcdaas.cluster.site.owner import Owner
from hpcdaas.errors import InputError

TEXT = """
name = "here"
timezone = "Europe/Zurich"
exclude = ["node7"]
[[partition]]
name = "day"
cores = 8
memory = "16 GB"
time = "1 day"
account = "beamline"
nodes = 4
[[pool]]
name = "cpu"
partition = "day"
cores = 2
memory = "4 GB"
time = "4 h"
most = 3
[[pool]]
name = "mpi"
partition = "day"
nodes = 2
ranks = 4
cores = 2
memory = "12 GiB"
qos = "fast"
[limits]
pool_seconds = "2 min"
[[owner]]
pattern = "/data/{proposal}/**"
group = "p{proposal}"
roots = ["/data/{proposal}"]
"""


def site(text: str = TEXT) -> Site:
    return parse_site(tomllib.loads(text), Path("site.toml"))


def test_what_it_says() -> None:
    here = site()
    assert not here.is_local
    cpu, mpi = here.pool
    assert (cpu.time, cpu.memory, cpu.wide, mpi.wide, mpi.memory) == (14400, 4_000_000_000, False, True, 12 * 2**30)
    assert (here.limits.pool_seconds, here.partition_of(mpi).account) == (120, "beamline")
    assert mpi.options() == {"qos": "fast"}
    owner = here.owner_of(Path("/data/17/x.nxs"))
    assert isinstance(owner, Owner)
    assert owner.group == "p17"
    assert here.roots == (Path("/data"),)


def test_a_scan_that_is_nobody_s() -> None:
    with pytest.raises(InputError, match="says whose /elsewhere/x is"):
        site().owner_of(Path("/elsewhere/x"))
    assert Site().owner_of(Path("/elsewhere/x")) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('cores = 2\nmemory = "4 GB"', 'coers = 2\nmemory = "4 GB"', r"\[pool\] number 1 has no parameter 'coers'"),
        ('partition = "day"\ncores', 'partition = "dya"\ncores', "partition 'dya', which has no table"),
        ('time = "4 h"', 'time = "2 days"', r"asks for 172800 s, 'day' allows 86400 s"),
        ('memory = "12 GiB"', 'memory = "20 GB"', "pool 'mpi' asks for 20000000000 bytes of memory"),
        ("ranks = 4", "ranks = 5", "asks for 10 cores, partition 'day' has 8"),
        ("nodes = 2", "nodes = 5", "asks for 5 nodes at once, partition 'day' has 4"),
        ("Europe/Zurich", "Europe/Zuerich", "there is no such time zone"),
        ('name = "mpi"', 'name = "cpu"', r"two tables \[\[pool\]\] are called 'cpu'"),
        ("[limits]", "[limit]", "has no parameter 'limit'"),
        ('memory = "16 GB"', 'memory = "much"', r"\[partition\] number 1: memory = 'much'"),
        ('roots = ["/data/{proposal}"]', "", r"\[owner\] number 1 lacks 'roots'"),
        ('[[partition]]\nname = "day"', "[[partition]]", r"\[partition\] number 1 lacks 'name'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InputError, match=message) as caught:
        site(TEXT.replace(old, new))
    assert "\n" not in caught.value.message


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPCDAAS_SITE", raising=False)
    assert find_site().is_local
    Path("site.toml").write_text('name = "here"')
    assert find_site().name == "here"
    Path("other.toml").write_text('name = "other"')
    monkeypatch.setenv("HPCDAAS_SITE", "other.toml")
    assert find_site().name == "other"
    assert find_site(Path("site.toml")).name == "here"


@pytest.mark.parametrize(
    ("content", "message"), [(None, "can't be read"), ("name = ", "is no TOML"), (b"\xff\xfe", "no text")]
)
def test_file_that_can_not_be_read(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    path = tmp_path / "site.toml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        load_site(path)
