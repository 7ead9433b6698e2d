"""What people write in notebooks, on this machine; on a SLURM cluster: slurm/test_pools.py."""

from __future__ import annotations

import _thread
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import hpcdaas
from hpcdaas import HpcdaasError, InputError, Recipe, Site
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.record import read_record, record_path
from hpcdaas.cluster.notebook import WorkPool
from hpcdaas.cluster.pool.future import Future
from hpcdaas.cluster.pool.shown import Picture
from hpcdaas.recipe import parse
from pool_orders import endless, small, until


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of the test's own, no site file, and previews of its own."""
    for name in ("DATA", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    monkeypatch.delenv("HPCDAAS_SITE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkPool]:
    folder = tmp_path_factory.mktemp("notebook")
    with Site.load().pool(folder=folder / "results", state=folder / "state") as found:
        yield found


def scan_and_recipe(folder: Path) -> tuple[Path, Recipe]:
    order = small(folder)
    assert order.recipe is not None
    return order.scan, parse(order.recipe)


def endless_scan(folder: Path) -> tuple[Path, Recipe]:
    order = endless(folder)
    assert order.recipe is not None
    return order.scan, parse(order.recipe)


def size(picture: Picture, folder: Path) -> tuple[int, int]:
    with Image.open(picture.save(folder / "picture.png")) as image:
        image.load()
        assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn
        return image.size


def test_one_line_gives_the_same_result_on_this_machine_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, recipe = scan_and_recipe(tmp_path)
    with Site.load().pool("gpu", state=tmp_path / "state") as pool:
        result = pool.reconstruct(scan, recipe)
    assert "no cluster here" in capsys.readouterr().out
    direct = hpcdaas.reconstruct(scan, recipe, tmp_path / "direct.h5", register_result=False)
    assert result.run == direct.run
    assert result.path == tmp_path / f"small_{recipe.name}_{result.run[:8]}.h5"
    with h5py.File(result.path) as one, h5py.File(direct.path) as other:
        np.testing.assert_array_equal(one["entry/data/data"], other["entry/data/data"])
    assert result.pid
    assert EmbeddedCatalog(tmp_path / "DATA" / "hpcdaas" / "catalog.db").dataset(result.pid)["type"] == "derived"
    assert size(result.picture, tmp_path) == (32, 32)
    assert "<img" in result._repr_html_()
    assert "data:image/png" in result._repr_html_()


def test_the_same_again_is_there_already(pool: WorkPool, tmp_path: Path) -> None:
    scan, recipe = scan_and_recipe(tmp_path)
    first, second = pool.reconstruct(scan, recipe), pool.reconstruct(scan, recipe)
    assert (first.existed, second.existed) == (False, True)
    assert first.path == second.path
    assert first.pid == second.pid
    assert "there already" in second._repr_html_()


def test_many_scans_come_in_their_order(pool: WorkPool, tmp_path: Path) -> None:
    scan, recipe = scan_and_recipe(tmp_path)
    copies = [tmp_path / f"{name}.nxs" for name in "cab"]
    for number, copy in enumerate(copies):
        copy.write_bytes(scan.read_bytes())
        with h5py.File(copy, "r+") as file:
            file["entry/instrument/detector/data"][-1] += number
    found = list(pool.map(copies, recipe))
    assert [result.raw.files[0] for result in found] == copies
    assert len({result.run for result in found}) == 3


def test_a_future_tells_how_far_it_is_and_can_be_cancelled(pool: WorkPool, tmp_path: Path) -> None:
    scan, recipe = endless_scan(tmp_path)
    asked = pool.submit(scan, recipe)
    until("it goes on", lambda: asked.state == "running" and asked.progress > 0)
    before = asked.progress
    assert before < 1
    assert before < until("it goes further", lambda: asked.progress != before and asked.progress)
    assert "this machine" in asked.place
    assert "endless.cxi with 'endless': running" in repr(asked)
    assert "<progress value=" in asked._repr_html_()
    assert "1 running" in repr(pool)
    with pytest.raises(TimeoutError, match=r"endless.cxi isn't done after 0.1 s"):
        asked.result(0.1)
    asked.cancel()
    with pytest.raises(HpcdaasError, match="was cancelled"):
        asked.result(60)
    assert (asked.state, asked.progress) == ("ended", 1.0)
    again = pool.submit(scan, recipe)
    assert until("it goes on from its checkpoint", lambda: again.progress) >= before
    again.cancel()


def test_an_interrupt_gives_it_up(pool: WorkPool, tmp_path: Path) -> None:
    scan, recipe = endless_scan(tmp_path)

    def interrupt() -> None:
        until("it runs", lambda: pool._pool.running == 1)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        pool.reconstruct(scan, recipe)
    thread.join()
    until("the worker is free", lambda: pool._pool.running == 0)


def test_an_interrupt_in_the_moment_of_asking_gives_it_up(
    pool: WorkPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, recipe = endless_scan(tmp_path)
    give = pool._pool.give

    def interrupted(future: Future) -> None:
        give(future)
        until("it runs", lambda: pool._pool.running == 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool._pool, "give", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.reconstruct(scan, recipe)
    until("the worker is free", lambda: pool._pool.running == 0)


def test_previews_of_both_techniques(pool: WorkPool, tmp_path: Path) -> None:
    scan, recipe = scan_and_recipe(tmp_path)
    width, height = size(pool.preview(scan, recipe), tmp_path)
    assert width > 2 * height  # three slices side by side
    other, slow = endless_scan(tmp_path)
    assert min(size(pool.preview(other, slow), tmp_path)) > 100  # a few iterations, where the recipe has 100,000
    assert not list(pool.folder.glob("preview*"))


def test_settings_and_a_result_file_of_ones_own(pool: WorkPool, tmp_path: Path) -> None:
    scan, recipe = scan_and_recipe(tmp_path)
    out = tmp_path / "a new folder" / "mine.h5"
    result = pool.reconstruct(scan, recipe, out, settings=["fbp.filter=hann", 'scan.rows="1:3"'])
    assert (result.path, result.shape) == (out, (2, 32, 32))
    assert result.recipe["step"][-1]["filter"] == "hann"
    with pytest.raises(InputError, match=r"mine.h5"):
        pool.reconstruct(scan, recipe, out)
    assert pool.reconstruct(scan, recipe, out, overwrite=True).shape == (4, 32, 32)


def test_what_is_wrong_is_said_before_anything_runs(pool: WorkPool, tmp_path: Path) -> None:
    scan, recipe = scan_and_recipe(tmp_path)
    with pytest.raises(InputError, match="fbq") as caught:
        pool.submit(scan, recipe, settings=["fbq.filter=hann"])
    assert "fbp" in caught.value.hint
    with pytest.raises(InputError, match=r"gone.nxs"):
        pool.reconstruct(tmp_path / "gone.nxs")


def test_where_no_worker_comes_the_wait_ends(tmp_path: Path) -> None:
    scan, recipe = scan_and_recipe(tmp_path)
    (tmp_path / "site.toml").write_text('[job.variables]\nPYTHONHOME = "/nowhere"\n')
    with Site.load("site.toml").pool(state=tmp_path / "state") as pool:
        with pytest.raises(HpcdaasError, match=r"No worker comes: .* ended with code 1"):
            pool.reconstruct(scan, recipe)
        until("it is given up", lambda: pool._pool.waiting == 0)
        assert "ended with code 1" in repr(pool)


def test_where_the_catalogue_is_away_the_record_waits(tmp_path: Path) -> None:
    scan, recipe = scan_and_recipe(tmp_path)
    (tmp_path / "site.toml").write_text('[catalog]\nuri = "http://127.0.0.1:9/api/v3"\n')  # nobody listens there
    with (
        Site.load("site.toml").pool(state=tmp_path / "state") as pool,
        pytest.warns(UserWarning, match=r"Not registered: .* 'hpcdaas catalog flush'"),
    ):
        result = pool.reconstruct(scan, recipe)
    assert result.pid is None
    assert read_record(record_path(result.path)).run == result.run


def test_importing_hpcdaas_loads_nothing_heavy() -> None:
    code = """
import sys, hpcdaas
heavy = {"cupy", "mpi4py", "dask", "distributed", "h5py", "httpx", "numpy"} & set(sys.modules)
assert not heavy, heavy
assert "Site" in hpcdaas.__all__
from hpcdaas import Site
assert not {"cupy", "mpi4py", "dask", "distributed"} & set(sys.modules)
assert Site.load().table.is_local
"""
    subprocess.run([sys.executable, "-c", code], check=True)
