"""Bad input, as a user meets it: one or two lines, code 2, nothing left behind, never a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from command_line import CommandLine, Ended, Shape, everything

SHAPE = Shape()


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SHAPE.write(tmp_path_factory.mktemp("scan") / "scan.nxs")


@pytest.fixture
def shell(tmp_path: Path) -> CommandLine:
    (tmp_path / "out").mkdir()
    return CommandLine(tmp_path / "home")


def check_refused(ended: Ended, as_json: bool, says: str, work: bool = False) -> str:
    """Code 2 and one or two lines; gives message and hint. With `work`, other lines may come before them."""
    assert ended.code == 2, ended.out + ended.err
    assert "Traceback" not in ended.out + ended.err
    if as_json:
        assert ended.err == ""
        error = ended.json["error"]
        assert set(error) == {"code", "message", "hint"}
        assert error["code"] in ("input", "room")
        lines = [error["message"], *([error["hint"]] if error["hint"] else [])]
        assert all(len(line.splitlines()) == 1 for line in lines), lines
    else:
        assert ended.out == ""
        lines = ended.message
        assert work or lines == ended.err.splitlines()
        assert len(lines) <= 2, lines
    text = "\n".join(lines)
    assert re.search(says, text), text
    assert "fault of hpcdaas" not in text
    return text


def check(shell: CommandLine, says: str, file: object, *arguments: object, work: bool = False, **options: Any) -> str:
    """Try to reconstruct, for people and for programs; nothing may be left behind."""
    folder = shell.folder.parent / "out"
    text = ""
    for as_json in (True, False):
        before = everything(folder)
        out = () if "-o" in arguments else ("-o", folder / "result.h5")
        ended = shell.here("reconstruct", file, *out, *arguments, *(["--json"] if as_json else []), **options)
        text = check_refused(ended, as_json, says, work)
        assert everything(folder) == before
    return text


def edit(path: Path, change: Callable[[h5py.Group], None]) -> Path:
    """Write a good scan and spoil it."""
    SHAPE.write(path)
    with h5py.File(path, "r+") as file:
        change(file["entry"])
    return path


def replaced(entry: h5py.Group, name: str, value: Any) -> None:
    for link in (name, f"data/{name.rsplit('/', 1)[1]}"):
        del entry[link]
    entry[name] = value


DATA, KEYS, ANGLES = "instrument/detector/data", "instrument/detector/image_key", "sample/rotation_angle"


# Files that are no scan


def test_no_such_file_names_the_nearest(shell: CommandLine, tmp_path: Path) -> None:
    SHAPE.write(tmp_path / "scan_0001.nxs")
    assert "scan_0001.nxs" in check(shell, "There is no file", tmp_path / "scan_001.nxs").splitlines()[1]


def test_folder_without_scan(shell: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check(shell, "folder", tmp_path / "empty")


@pytest.mark.parametrize("name", ["scan.nxs", "scan.h5", "scan.tif", "scan.txt"])
def test_text_file(shell: CommandLine, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("This is no scan.\n" * 100)
    check(shell, "text file", tmp_path / name)


@pytest.mark.parametrize("name", ["scan.nxs", "scan.tif"])
def test_empty_file(shell: CommandLine, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    check(shell, "is empty", tmp_path / name)


def test_binary_file(shell: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "scan.raw").write_bytes(bytes(range(256)) * 50)
    check(shell, "neither HDF5 nor TIFF", tmp_path / "scan.raw")


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.9, 0.999])
def test_truncated_hdf5(shell: CommandLine, tmp_path: Path, scan: Path, share: float) -> None:
    content = scan.read_bytes()
    (tmp_path / "cut.nxs").write_bytes(content[: int(share * len(content))])
    check(shell, "cut.nxs", tmp_path / "cut.nxs")


def test_truncated_compressed(shell: CommandLine, tmp_path: Path) -> None:
    content = SHAPE.write(tmp_path / "scan.nxs", compression="gzip").read_bytes()
    (tmp_path / "cut.nxs").write_bytes(content[: len(content) * 2 // 3])
    check(shell, "cut.nxs", tmp_path / "cut.nxs")


def test_damaged_chunk_is_found_while_reading(shell: CommandLine, tmp_path: Path) -> None:
    path = SHAPE.write(tmp_path / "scan.nxs", compression="gzip")
    with h5py.File(path, "r") as file:
        chunk = file["entry"][DATA].id.get_chunk_info(30)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset + 20)
        stream.write(b"\xff" * 200)
    check(shell, "scan.nxs", path, "--center", 33.2, work=True)


def test_a_result_is_no_scan(shell: CommandLine, tmp_path: Path, scan: Path) -> None:
    shell.reconstruct(scan, tmp_path / "first.h5", "--rows", "0:2")
    check(shell, "reconstruction, no scan", tmp_path / "first.h5")


# Scans that lack something


def test_no_angles(shell: CommandLine, tmp_path: Path) -> None:
    def change(entry: h5py.Group) -> None:
        del entry[ANGLES], entry["data/rotation_angle"]

    text = check(shell, "no rotation angles", edit(tmp_path / "scan.nxs", change))
    assert "scan.angle_range" in text


def test_wrong_number_of_angles(shell: CommandLine, tmp_path: Path) -> None:
    path = edit(tmp_path / "scan.nxs", lambda entry: replaced(entry, ANGLES, np.arange(7.0)))
    check(shell, "7 angles .* don't fit 60 projections", path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_angles_that_are_not_finite(shell: CommandLine, tmp_path: Path, value: float) -> None:
    def change(entry: h5py.Group) -> None:
        entry[ANGLES][20] = value

    check(shell, "1 of 60 angles .* not finite.* projection 15", edit(tmp_path / "scan.nxs", change))


def test_all_angles_equal(shell: CommandLine, tmp_path: Path) -> None:
    check(shell, "angles", edit(tmp_path / "scan.nxs", lambda entry: replaced(entry, ANGLES, np.zeros(65))))


def test_no_flats(shell: CommandLine, tmp_path: Path) -> None:
    keys = np.where(SHAPE.keys == 1, 3, SHAPE.keys)
    text = check(shell, "no flat fields", edit(tmp_path / "scan.nxs", lambda entry: replaced(entry, KEYS, keys)))
    assert "scan.flats" in text


def test_flats_equal_darks(shell: CommandLine, tmp_path: Path) -> None:
    def change(entry: h5py.Group) -> None:
        entry[DATA][2:5] = entry[DATA][:1]

    check(shell, "nowhere brighter", edit(tmp_path / "scan.nxs", change))


def test_zero_flats(shell: CommandLine, tmp_path: Path) -> None:
    def change(entry: h5py.Group) -> None:
        entry[DATA][:5] = 0

    check(shell, "nowhere brighter", edit(tmp_path / "scan.nxs", change))


def test_flats_of_another_size(shell: CommandLine, tmp_path: Path, scan: Path) -> None:
    with h5py.File(tmp_path / "flats.h5", "w") as file:
        file["flats"] = np.full((3, 12, 63), 20000, "u2")
    check(shell, "12 . 63", scan, "-s", f"scan.flats={tmp_path / 'flats.h5'}:/flats")


def test_no_projections(shell: CommandLine, tmp_path: Path) -> None:
    keys = np.where(SHAPE.keys == 0, 3, SHAPE.keys)
    check(shell, "no projections", edit(tmp_path / "scan.nxs", lambda entry: replaced(entry, KEYS, keys)))


@pytest.mark.parametrize("center", [(), ("--center", "33.2")])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_frames_that_are_not_finite(shell: CommandLine, tmp_path: Path, center: tuple[str, ...], value: float) -> None:
    frames = SHAPE.frames("f4")
    frames[5 + 41, 7, 10:20] = value
    path = SHAPE.write(tmp_path / "scan.nxs", frames=frames)
    check(shell, "Projection 41 .*not finite", path, *center, work=True)
    assert shell.datasets() == []


@pytest.mark.parametrize("frame", [0, 3])
def test_flats_and_darks_that_are_not_finite(shell: CommandLine, tmp_path: Path, frame: int) -> None:
    frames = SHAPE.frames("f4")
    frames[frame, 7, 10:20] = np.nan
    path = SHAPE.write(tmp_path / "scan.nxs", frames=frames)
    check(shell, "(flat|dark) fields .*not finite", path, "--center", 33.2, work=True)


def test_late_nan_leaves_nothing(shell: CommandLine, tmp_path: Path) -> None:
    """In a block that comes when others are written already."""
    shape = Shape(rows=96)
    frames = shape.frames("f4")
    frames[5 + 41, 90] = np.nan
    path = shape.write(tmp_path / "scan.nxs", frames=frames)
    check(shell, "Projection 41 .*not finite", path, "--center", 33.2, work=True)


def test_dangling_external_link(shell: CommandLine, tmp_path: Path) -> None:
    def change(entry: h5py.Group) -> None:
        del entry[DATA], entry["data/data"]
        entry[DATA] = h5py.ExternalLink("gone.h5", "/data")

    check(shell, "gone.h5", edit(tmp_path / "scan.nxs", change))


def test_dangling_soft_link(shell: CommandLine, tmp_path: Path) -> None:
    def change(entry: h5py.Group) -> None:
        del entry[DATA], entry["data/data"]
        entry[DATA] = h5py.SoftLink("/entry/nowhere")

    check(shell, "nowhere|leads", edit(tmp_path / "scan.nxs", change))


def test_virtual_dataset_whose_source_is_gone(shell: CommandLine, tmp_path: Path) -> None:
    def change(entry: h5py.Group) -> None:
        shape = entry[DATA].shape
        del entry[DATA], entry["data/data"]
        layout = h5py.VirtualLayout(shape, "u2")
        layout[:] = h5py.VirtualSource("gone.h5", "data", shape)
        entry["instrument/detector"].create_virtual_dataset("data", layout)

    check(shell, "gone.h5", edit(tmp_path / "scan.nxs", change))


def test_center_in_the_file_off_the_detector(shell: CommandLine, tmp_path: Path) -> None:
    def change(entry: h5py.Group) -> None:
        entry["instrument/detector/x_rotation_axis_pixel_position"] = 99.0

    check(shell, "99 is off the detector.* 0 to 63", edit(tmp_path / "scan.nxs", change))


def test_center_that_can_not_be_found(shell: CommandLine, tmp_path: Path) -> None:
    """Noise has no axis: the run asks for one instead of guessing."""
    frames = SHAPE.frames("u2")
    frames[5:] = np.random.default_rng(0).integers(9000, 11000, frames[5:].shape)
    text = check(shell, "isn't sure", SHAPE.write(tmp_path / "scan.nxs", frames=frames), work=True)
    assert "--center" in text


# Arguments


@pytest.mark.parametrize("setting", ["--center=-3", "--center=64", "--center=1e9"])
def test_center_off_the_detector(shell: CommandLine, scan: Path, setting: str) -> None:
    check(shell, "off the detector.* 0 to 63", scan, setting)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("scan.center=640", "off the detector"),
        ("scan.centre=33", "'center'"),
        ("scan.angle=3", "'angles'|'angle_range'"),
        ("scan.paths.dat=/x", "'data'"),
        ("scan.pixel_size=-1", "greater than 0"),
        ("scan.pixel_size=0.65 apples", "apples"),
        ("scan.pixel_size=5 keV", "5 keV"),
        ("scan.energy=[1, 2]", "energy"),
        ("scan.energy=true", "energy"),
        ("scan.rows=abc", "rows"),
        ("scan.rows=10:99", "10:99"),
        ("scan.rows=5:5", "5:5"),
        ("scan.rows=5:2", "5:2"),
        ("scan.frames=0:99", "0:99"),
        ("scan.angles=[0, 1, 2]", "3 angles"),
        ("scan.flats=/nowhere.h5", "nowhere"),
        ("scan.center=nan", "not a number"),
        ("scan.center=left", "left"),
        ("fbb.padding=3", "'fbp'"),
        ("fbp.paddin=3", "'padding'"),
        ("fbp.padding=1", "greater than or equal to 2"),
        ("fbp.padding=1e9", "less than or equal to 8"),
        ("fbp.padding=nan", "not a number"),
        ("fbp.padding=inf", "finite"),
        ("fbp.eps=1", "less than or equal to 0.01"),
        ("fbp.eps=0", "greater than or equal to"),
        ("fbp.eps=fine", "fine"),
        ("fbp.filter=ramb", "ramb"),
        ("flatfield.average=mode", "mode"),
        ("outliers.size=4", "odd"),
        ("phase.delta_beta=-1", "greater than 0"),
        ("store.dtype=int7", "int7"),
        ("store.x=0:999", "0:999"),
        ("store.x=abc", "abc"),
        ("nonsense", "NAME.parameter=value"),
        ("fbp=2", "NAME.parameter=value"),
        ("=2", "NAME.parameter=value"),
        (".=2", "no step"),
        ("fbp.=2", "no parameter"),
    ],
)
def test_settings(shell: CommandLine, scan: Path, setting: str, says: str) -> None:
    check(shell, says, scan, "-s", setting)


def test_low_above_high(shell: CommandLine, scan: Path) -> None:
    check(shell, "low must be below high", scan, "-s", "store.low=5", "-s", "store.high=1")


def test_phase_without_distance(shell: CommandLine, scan: Path) -> None:
    text = check(shell, "pixel size", scan, "-s", "phase.delta_beta=100")
    assert "scan.pixel_size" in text


@pytest.mark.parametrize("rows", ["0:9999", "5:5", "a:b", "-1:3", "3", "12:", "0:12:-1"])
def test_rows(shell: CommandLine, scan: Path, rows: str) -> None:
    check(shell, re.escape(rows), scan, f"--rows={rows}")


def test_rows_with_a_step_of_zero(shell: CommandLine, scan: Path) -> None:
    check(shell, "0:12:0", scan, "--rows=0:12:0")


@pytest.mark.parametrize("memory", ["-5GB", "0", "0GB", "much", "8 apples", "nan"])
def test_memory_that_is_none(shell: CommandLine, scan: Path, memory: str) -> None:
    check(shell, "memory", scan, "--memory", memory)


def test_too_little_memory_says_how_much_is_needed(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    text = check(shell, "not enough", scan, "--memory", "1MB")
    needed = re.search(r"--memory (\S+GB)", text)
    assert needed
    shell.reconstruct(scan, tmp_path / "result.h5", "--memory", needed[1])


@pytest.mark.parametrize("threads", ["0", "-1", "many", "1.5"])
def test_threads(shell: CommandLine, scan: Path, threads: str) -> None:
    check(shell, "threads", scan, "--threads", threads)


@pytest.mark.parametrize("backend", ["quantum", "cuda"])
def test_backend(shell: CommandLine, scan: Path, backend: str) -> None:
    check(shell, backend, scan, "--backend", backend)


def test_unknown_option(shell: CommandLine, scan: Path) -> None:
    check(shell, "--colour", scan, "--colour", "red")


def test_no_output(shell: CommandLine, scan: Path) -> None:
    check_refused(shell.here("reconstruct", scan, "--json"), True, "-o")
    check_refused(shell.here("reconstruct", scan), False, "-o")


def test_no_arguments_at_all(shell: CommandLine) -> None:
    check_refused(shell.here("reconstruct"), False, "[Ff][Ii][Ll][Ee]")
    check_refused(shell.here("recronstuct"), False, "recronstuct")


@pytest.mark.parametrize(("uri", "says"), [("ftp://somewhere/db", "catalog"), ("http://example.org", "https")])
def test_catalog(shell: CommandLine, scan: Path, uri: str, says: str) -> None:
    check(shell, says, scan, "--rows", "0:2", "--catalog", uri, work=True)


# Recipes


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("this is no TOML", "no TOML"),
        ('name = "x', "no TOML"),
        ("[[step]]\nuse = 'fbp'\n[[stepp]]\nuse = 'x'", "'step'"),
        ("[[step]]\nuse = 'fbpp'", "'fbp'"),
        ("[[step]]\nuse = 3", "'use'"),
        ("[[step]]\npadding = 3", "'use'"),
        ("[[step]]\nuse = 'fbp'\npaddding = 3", "'padding'"),
        ("[[step]]\nuse = 'fbp'\npadding = 'wide'", "wide"),
        ("[[step]]\nuse = 'flatfield'", "makes slices"),
        ("", "makes slices"),
        ("[[step]]\nuse = 'fbp'\n[[step]]\nuse = 'fbp'", "makes slices"),
        ("[[step]]\nuse = 'fbp'\n[[step]]\nuse = 'flatfield'", "only one 'store'"),
        ("name = '../x'\n[[step]]\nuse = 'fbp'", "name"),
        ("name = 3\n[[step]]\nuse = 'fbp'", "name"),
        ("step = 3", r"\[\[step\]\]"),
        ("scan = 3\n[[step]]\nuse = 'fbp'", r"\[scan\]"),
        ("[scan]\ncentre = 3\n[[step]]\nuse = 'fbp'", "'center'"),
        ("[[step]]\nuse = 'flatfield'\n[[step]]\nuse = 'fbp'", "centre"),
        (
            "scan.center=33" + "".join(f"\n[[step]]\nuse='{use}'" for use in ("minus_log", "flatfield", "fbp")),
            "'flatfield' is there twice, or after",
        ),
    ],
)  # fmt: skip
def test_recipe(shell: CommandLine, scan: Path, tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "recipe.toml").write_text(content)
    check(shell, says, scan, "-r", tmp_path / "recipe.toml", work=True)


def test_recipe_that_is_no_text(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes(bytes(range(256)))
    check(shell, "no text", scan, "-r", tmp_path / "recipe.toml")
    check(shell, "can't be read", scan, "-r", tmp_path / "gone.toml")
    check(shell, "can't be read", scan, "-r", tmp_path)


def test_repeated_name_is_ambiguous(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    stripes = "[[step]]\nuse = 'stripes'\n"
    (tmp_path / "recipe.toml").write_text(f"{stripes}{stripes}[[step]]\nuse = 'fbp'")
    check(shell, "2 steps 'stripes'", scan, "-r", tmp_path / "recipe.toml", "-s", "stripes.method=sorting")


# Places


def test_folder_of_the_result_is_missing(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    check(shell, "no folder", scan, "-o", tmp_path / "gone" / "result.h5")


def test_result_is_a_folder(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    check(shell, "is a folder", scan, "-o", tmp_path / "out")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that even root can't write to")
def test_unwritable_place(shell: CommandLine, scan: Path) -> None:
    check(shell, "can't be written", scan, "-o", "/proc/result.h5")


def test_a_file_in_the_way(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check(shell, "no folder|can't be written", scan, "-o", tmp_path / "file" / "result.h5")
    (tmp_path / "out" / "result.h5.partial").touch()
    check(shell, "can't be written", scan, "-o", tmp_path / "out" / "result.h5")


def test_name_that_is_too_long(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    check(shell, "too long", scan, "-o", tmp_path / "out" / ("x" * 300 + ".h5"))
    check(shell, "too long", scan, "-o", tmp_path / "out" / ("x" * 250 + ".h5"))


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_the_scan_itself_is_never_overwritten(shell: CommandLine, tmp_path: Path, overwrite: tuple[str, ...]) -> None:
    path = SHAPE.write(tmp_path / "out" / "scan.nxs")
    content = path.read_bytes()
    check(shell, "raw scan", path, "-o", path, *overwrite)
    (tmp_path / "out" / "link.h5").symlink_to(path)
    check(shell, "raw scan", path, "-o", tmp_path / "out" / "link.h5", *overwrite)
    assert path.read_bytes() == content


def test_other_run_is_kept(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "result.h5"
    run = shell.reconstruct(scan, out, "--rows", "0:2")["run"]
    content = out.read_bytes()
    text = check(shell, f"another run .{run[:8]}", scan, "--rows", "0:3")
    assert "--overwrite" in text
    assert out.read_bytes() == content
    assert shell.reconstruct(scan, out, "--rows", "0:3", "--overwrite")["shape"][0] == 3


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_other_things_are_kept(shell: CommandLine, scan: Path, tmp_path: Path, content: bytes | None) -> None:
    out = tmp_path / "out" / "result.h5"
    if content is None:
        with h5py.File(out, "w") as file:
            file.create_group("entry/process/run")
        content = out.read_bytes()
    else:
        out.write_bytes(content)
    check(shell, "something else", scan)
    assert out.read_bytes() == content


# Launchers


@pytest.mark.parametrize(
    "variable", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"]
)
def test_several_ranks(shell: CommandLine, scan: Path, variable: str) -> None:
    check(shell, "4 ranks", scan, env={variable: "4"})


# The same as processes: nothing of a test runner around them


def test_as_processes(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    frames = SHAPE.frames("f4")
    frames[5 + 41, 7] = np.nan
    bad = SHAPE.write(tmp_path / "nan.nxs", frames=frames)
    (tmp_path / "cut.nxs").write_bytes(scan.read_bytes()[:50000])
    before = everything(tmp_path / "out")
    cases: list[tuple[str, list[object]]] = [
        ("There is no file", [tmp_path / "gone.nxs"]),
        ("cut.nxs", [tmp_path / "cut.nxs"]),
        ("Projection 41", [bad, "--center", "33.2"]),
        ("not enough", [scan, "--memory", "1MB"]),
        ("'padding'", [scan, "-s", "fbp.paddin=2"]),
    ]
    for as_json in (False, True):
        for says, arguments in cases[2:3] if as_json else cases:
            out = ["-o", tmp_path / "out" / "r.h5", *(["--json"] if as_json else [])]
            check_refused(shell.installed("reconstruct", *arguments, *out), as_json, says, work=arguments[0] == bad)
    assert everything(tmp_path / "out") == before


def test_debug_shows_where(shell: CommandLine, tmp_path: Path) -> None:
    ended = shell.installed("reconstruct", tmp_path / "gone.nxs", "-o", tmp_path / "r.h5", "--debug")
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert "no file" in ended.message[0]
    as_json = shell.here("reconstruct", tmp_path / "gone.nxs", "-o", tmp_path / "r.h5", "--json", "--debug")
    assert (as_json.code, as_json.json["error"]["code"]) == (2, "input")
    assert "Traceback" in as_json.err


@pytest.mark.parametrize(("verb", "code"), [("inspect", 1), ("reconstruct", 3)])
def test_ctrl_c_promises_what_is_true(
    shell: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, code: int
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpcdaas.cli.reconstruct.resolve", stop)
    ended = shell.here(verb, tmp_path / "scan.nxs", *(["-o", tmp_path / "r.h5"] if verb == "reconstruct" else []))
    assert ended.code == code
    assert ended.message[0] == "hpcdaas: Stopped."
    assert ("goes on" in ended.err) is (code == 3)


def test_inspect_refuses_alike(shell: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "text.nxs").write_text("no scan")
    before = everything(tmp_path)
    for arguments, says in (
        ([tmp_path / "text.nxs"], "text file"),
        ([tmp_path / "gone.nxs"], "no file"),
        ([tmp_path / "text.nxs", "--center"], "text file"),
        ([tmp_path / "gone.nxs", "--recipe"], "no file"),
    ):
        check_refused(shell.here("inspect", *arguments), False, says)
        check_refused(shell.here("inspect", *arguments, "--json"), True, says)
    assert everything(tmp_path) == before
