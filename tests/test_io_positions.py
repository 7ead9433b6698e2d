from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpcdaas.io.positions import pair_of
from ptycho_files import DETECTOR, TRANSLATION, VIEWS, cxi_fields, frames, opened, places, refused, write, xyz

FIELDS = cxi_fields() | {TRANSLATION: None}


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write(tmp_path / "scan.cxi", FIELDS)


def close(path: Path, positions: str, scale: float = 1.0) -> list[str]:
    """Open with positions of a file, hold them against those meant; give what was understood."""
    found = opened(path, positions=positions)
    np.testing.assert_allclose(found.positions, places() * scale, rtol=1e-9)
    return list(found.understood)


def lines(values: Any, mark: str = " ") -> str:
    return "\n".join(mark.join(f"{value:.12g}" for value in row) for row in values) + "\n"


def test_columns_without_names(scan: Path) -> None:
    text = scan.parent / "p.txt"
    text.write_text("# measured\n\n" + lines(places()[:, ::-1]))
    understood = " ".join(close(scan, str(text)))
    assert "no unit: positions are taken as m" in understood
    assert "column 0 is taken as x" in understood
    assert text in opened(scan, positions="p.txt").files
    text.write_text(lines(places()[:, ::-1] * 1e6))
    understood = " ".join(close(scan, "p.txt um"))
    assert "no unit" not in understood
    close(scan, f"{text}:0,1 um")
    text.write_text(lines(places() * 1e9))
    close(scan, "p.txt:1,0 nm")


@pytest.mark.parametrize(
    ("heading", "mark"),
    [
        ("i,x (um),y (um)", ","),
        ("i; x [um]; y [um]", ";"),
        ("i\tsamx_um\tsamy_um", "\t"),
        ("# i x (um) y (um)", " "),
        ("#i  piezo x (um)  piezo y (um)", " "),
        ("i x_um y_um", "   "),
        ('"i","x_pos (µm)","y_pos (µm)"', ","),
    ],
)
def test_names_and_units_in_the_heading(scan: Path, heading: str, mark: str) -> None:
    rows = np.column_stack([np.arange(VIEWS), places()[:, ::-1] * 1e6])
    (scan.parent / "p.csv").write_text(f"{heading}\n{lines(rows, mark)}", encoding="utf-8")
    understood = " ".join(close(scan, "p.csv"))
    assert "no unit" not in understood


def test_measured_columns_before_wanted_ones(scan: Path) -> None:
    noise = np.random.default_rng(0).random((VIEWS, 4))
    rows = np.column_stack([noise[:, :2], places()[:, ::-1] * 1e6, noise[:, 2:]])
    names = "Target_x Target_y Average_x_st_fzp Average_y_st_fzp Stdev_x_st_fzp Stdev_y_st_fzp"
    (scan.parent / "scan_00012.dat").write_text(f"{names}\n{lines(rows)}")
    close(scan, "scan_00012.dat um")
    close(scan, "scan_00012.dat:Average_x_st_fzp,Average_y_st_fzp um")
    (scan.parent / "b.dat").write_text("fast slow x1 y1 x2 y2\n" + lines(rows))
    error = refused(scan, positions="b.dat um")
    assert "which is x isn't clear" in error.message
    assert "x1, y1, x2, y2" in error.message
    assert "FILE:X,Y" in error.hint
    close(scan, "b.dat:x1,y1 um")
    assert "no column 'z'" in refused(scan, positions="b.dat:z,y1").message


def test_spec(scan: Path) -> None:
    head = "#F test\n#E 1\n#O0 tth  chi\n\n"
    block = "#S {} mesh samx 0 1 2 samy 0 1 3 0.1\n#D Fri\n#N 3\n#L Sam X  Sam Y  Detector 1\n{}\n"
    one = np.column_stack([places()[:, ::-1] * 1e3, np.arange(VIEWS)])
    text = head + block.format(4, lines(one * 2)) + block.format(12, lines(one)) + "#C aborted\n"
    (scan.parent / "log.spec").write_text(text)
    close(scan, "log.spec:12 mm")
    close(scan, "log.spec:4 mm", 2)
    close(scan, "log.spec:12:Sam X,Sam Y mm")
    error = refused(scan, positions="log.spec mm")
    assert "2 scans; there are 4, 12" in error.message
    assert "no scan 5" in refused(scan, positions="log.spec:5").message
    (scan.parent / "one.spec").write_text(head + block.format(1, lines(one)))
    close(scan, "one.spec mm")


def test_numpy(scan: Path) -> None:
    for values in (places()[:, ::-1], xyz(places()), places()[:, ::-1].T):
        np.save(scan.parent / "p.npy", values)
        close(scan, "p.npy")
    np.save(scan.parent / "p.npy", places().ravel())
    assert "positions are (N, 2)" in refused(scan, positions="p.npy").message
    np.save(scan.parent / "p.npy", np.array([{"a": 1}]), allow_pickle=True)
    assert "no NumPy file of numbers" in refused(scan, positions="p.npy").message


def test_hdf5(scan: Path) -> None:
    other = scan.parent / "motors.h5"
    y, x = places().T
    fields = {
        "both": (xyz(places()) * 1e6, "um"),
        "motors/samx": (x * 1e3, "mm"),
        "motors/samy": (y * 1e6, "microns"),
        "motors/time": np.arange(VIEWS),
        "wrong": (xyz(places()), "s"),
    }
    write(other, fields)
    assert "no unit" not in " ".join(close(scan, f"{other}:/both"))
    close(scan, "motors.h5:motors")
    close(scan, "motors.h5:/motors/samx,/motors/samy")
    close(scan, "motors.h5:both", 1)
    assert other in opened(scan, positions="motors.h5:both").files
    assert opened(scan, paths={"positions": "motors.h5:both"}).shape[0] == VIEWS
    close(scan, "motors.h5")  # the one pair in it
    assert "'s' is no unit of positions" in refused(scan, positions="motors.h5:wrong").message
    assert "nothing at /none" in refused(scan, positions="motors.h5:/none").message
    assert "motors.h5/motors/time" not in refused(scan, positions="motors.h5:/motors/time").message


def test_in_the_scan_itself(tmp_path: Path) -> None:
    y, x = places().T
    fields = FIELDS | {"log/x": x, "log/y": y, "log/xy": (places()[:, ::-1] * 1e9, "nm")}
    path = write(tmp_path / "a.cxi", fields)
    close(path, "/log/xy")
    close(path, "/log/x,/log/y")
    close(path, "log")
    assert opened(path, positions="/log/xy").files == (path,)


def test_pixels_of_the_object(scan: Path) -> None:
    pixel = opened(write(scan.parent / "b.cxi", cxi_fields())).object_pixel
    write(scan.parent / "p.h5", {"p": (xyz(places() / pixel), "pixel")})
    close(scan, "p.h5:p")
    (scan.parent / "p.csv").write_text("x (px), y (px)\n" + lines((places() / pixel)[:, ::-1], ","))
    close(scan, "p.csv")
    turned = opened(scan, positions="p.csv", position_orientation="-x+y")
    np.testing.assert_allclose(turned.positions, (places() / pixel)[:, ::-1] * (-1, 1) * pixel)


def test_positions_of_the_chosen_views_alone(scan: Path) -> None:
    (scan.parent / "p.txt").write_text(lines(places()[2:5, ::-1]))
    assert "3 positions" in refused(scan, positions="p.txt").message
    found = opened(scan, positions="p.txt", frames="2:5")
    np.testing.assert_allclose(found.positions, places()[2:5])


def test_raster(tmp_path: Path) -> None:
    data = frames(12).reshape(3, 4, 8, 10)
    down, across = np.arange(3) * 1e-6, np.arange(4) * 2e-6
    grid = np.array([(a, b) for a in down for b in across])
    write(tmp_path / "axes.h5", {"y": (down * 1e6, "um"), "x": (across * 1e6, "um"), "n": np.arange(5)})
    fields = FIELDS | {f"{DETECTOR}/data": data}
    path = write(tmp_path / "a.cxi", fields)
    for place in ("axes.h5", "axes.h5:/x,/y"):
        scan = opened(path, positions=place)
        np.testing.assert_allclose(scan.positions, grid, atol=1e-15)
        np.testing.assert_array_equal(scan.frames.read(slice(3, 9), slice(None)), data.reshape(12, 8, 10)[3:9])
    write(tmp_path / "all.h5", {"p": np.stack(np.meshgrid(across, down), axis=-1)})
    np.testing.assert_allclose(opened(path, positions="all.h5:p").positions, grid, atol=1e-15)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no numbers"),
        ("a b\nc d\n", "holds no numbers"),
        ("1 2\n3\n", "2 and 1 columns"),
        ("1 2\nend\n", "line 2 of p.txt"),
        ("1\n2\n3\n4\n5\n6\n", "which is x isn't clear"),
        ("1 2 3 4\n" * 6, "has 4 columns"),
        ("1 2\n" * 6, "span"),
        ("x (s), y (s)\n" + "1,2\n" * 6, "'s' is no unit"),
        ("nan 1e-6\n" * 6, "not finite"),
        ("1 2\n" * 4, "4 positions"),
    ],
)
def test_bad_files(scan: Path, content: str, message: str) -> None:
    (scan.parent / "p.txt").write_text(content)
    if message == "span":  # all in one place is no error of the unit: it is said
        assert "lie within one pixel" in " ".join(opened(scan, positions="p.txt").understood)
        return
    assert message in refused(scan, positions="p.txt").message


def test_what_isnt_there(scan: Path) -> None:
    assert "neither a file nor a path" in refused(scan, positions="nowhere.txt").message
    assert "neither a file nor a path" in refused(scan, positions="nowhere.txt:1 um").message
    (scan.parent / "p.bin").write_bytes(b"\x80\0\xff")
    assert "neither text" in refused(scan, positions="p.bin").message
    with h5py.File(scan.parent / "p.h5", "w") as file:
        file["p"] = h5py.SoftLink("/gone")
    assert "/gone" in refused(scan, positions="p.h5:/p").message


def test_pairs() -> None:
    assert pair_of(["t", "samx", "samy"]) == (1, 2)
    assert pair_of(["max", "index", "y"]) is None
    assert pair_of(["set_x", "set_y", "x", "y"]) == (2, 3)
    assert pair_of(["x1", "y1", "x2", "y2"]) is None
    assert pair_of([]) is None
