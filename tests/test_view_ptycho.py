import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import rgb_to_hsv
from PIL import Image

from hpcdaas.cli.report import report
from hpcdaas.errors import InputError
from hpcdaas.ptycho.simulate import Simulation
from hpcdaas.view import wave as wave_module
from hpcdaas.view.figures import save
from hpcdaas.view.preview import preview
from hpcdaas.view.ptycho_curves import iterations, rings
from hpcdaas.view.ptycho_figures import colours_of, mean_frame, phase, positions, waves
from hpcdaas.view.ptycho_file import PtychoFile, Rings
from hpcdaas.view.report import make_report
from hpcdaas.view.thumbnail import thumbnail
from hpcdaas.view.wave import region_of, shown, thin_wave, tilt
from ptycho_results import RAMP, simulation, write_ptycho
from test_view_report import EVIL, page_of

PICTURES = ("phase", "probe", "frc", "iterations", "amplitude", "positions", "mean_frame")


@pytest.fixture(scope="module")
def made() -> Simulation:
    return simulation()


@pytest.fixture(scope="module")
def star(made: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole result; not to be altered."""
    return write_ptycho(tmp_path_factory.mktemp("result") / "star.h5", made)


@pytest.fixture
def altered(star: Path, tmp_path: Path) -> Callable[..., Path]:
    """Gives a copy of a result without some of its parts, and with others."""

    def alter(*without: str, **put: Any) -> Path:
        path = tmp_path / "star.h5"
        path.write_bytes(star.read_bytes())
        with h5py.File(path, "a") as file:
            for name in (*without, *put):
                if name in file["entry"]:
                    del file["entry"][name]
            for name, value in put.items():
                file["entry"][name] = value
        return path

    return alter


def titles(figure: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def test_the_page_shows_pictures_parameters_metrics_and_provenance(star: Path, tmp_path: Path) -> None:
    path = make_report(star, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {f"star_{name}.png" for name in PICTURES} | {"star.html"}
    page = page_of(path)
    assert page.tags.count("img") == len(PICTURES)
    for text in (
        "Siemens star, gold", "24.3 nm", "half-bit", "0.0112", "41.66 nm", "2 modes", "first: 80.0 % of the power",
        "64 × 64 pixels", "+y+x", "decided by the file", "hpcdaas 0.1.0", "0f3c9a77", "ptycho-default", "fine (ml)",
        "poisson", "seconds total 3.21 s", "resolution 24.3 nm", "energy 6200 eV", "/data/raw/star_frames.h5",
        "ab12ab12",
    ):  # fmt: skip
        assert text in page.text, text
    assert page.text.index("Resolution") < page.text.index("Made by") < page.text.index("Phase of the object")


def test_the_page_needs_nothing_but_itself(star: Path, tmp_path: Path) -> None:
    page = page_of(make_report(star, tmp_path))
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)


def test_names_from_files_are_escaped(altered: Callable[..., Path], tmp_path: Path) -> None:
    result = altered("title", **{"sample/name": EVIL, "quality/orientation": EVIL, "quality/error": EVIL})
    with h5py.File(result, "a") as file:
        for name in list(file["entry/process"]):
            del file[f"entry/process/{name}"]
            file[f"entry/process/{name}"] = EVIL
        file[f"entry/quality/{EVIL.replace('/', '')}"] = 1
        file[f"entry/metrics/{EVIL.replace('/', '')}"] = np.ones(42)
        file["entry/metrics"].attrs["parts"] = [EVIL, "$\\frac{$"]
    page = page_of(make_report(result, tmp_path / "out"))
    assert page.tags.count("img") == len(PICTURES)
    assert "script" not in page.tags
    assert not {"onerror", "onload"} & page.attributes
    assert EVIL in page.text


def test_a_title_that_is_but_a_path_is_cut(altered: Callable[..., Path], tmp_path: Path) -> None:
    page = make_report(
        altered(title="/data/raw/star.cxi", **{"process/raw_file": "/data/raw/star.cxi"}), tmp_path / "o"
    )
    assert "<h1>star.cxi</h1>" in page.read_text()


def test_the_thumbnail_needs_no_matplotlib(star: Path) -> None:
    code = "import sys, pathlib; from hpcdaas.view.thumbnail import thumbnail; thumbnail(pathlib.Path(sys.argv[1]))"
    code += "; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, star], check=False).returncode == 0


def test_what_is_missing_is_said(altered: Callable[..., Path], tmp_path: Path) -> None:
    result = altered(
        "frc", "probe", "positions", "metrics", "quality", "diagnostics", "object/light", "object/pixel_size"
    )  # fmt: skip
    page = page_of(make_report(result, tmp_path / "out"))
    for text in (
        "No halves of the scan", "holds no probe", "holds no positions", "doesn't tell how the iterations went",
        "holds no mean frame", "size unknown", "not measured", "The result holds no metrics",
    ):  # fmt: skip
        assert text in page.text, text
    assert page.tags.count("img") == 2
    assert "None" not in page.text
    assert "hardly any light" not in page.text


def test_odd_values_do_not_stop_the_report(altered: Callable[..., Path], tmp_path: Path) -> None:
    result = altered(
        **{
            "positions": np.full((3, 2), 1e3),
            "probe/data": np.zeros((1, 4, 4), np.complex64),
            "object/light": np.zeros((3, 4), np.float32),
            "object/pixel_size": np.array([np.nan, 1]),
            "metrics/error": np.full(42, np.nan),
            "metrics/part": np.full(42, np.nan),
            "metrics/words": "text",
            "quality/error": np.nan,
            "frc/frc": np.full(7, np.nan),
            "diagnostics/mean_frame": np.zeros((4, 4), np.float32),
            "diagnostics/good": np.zeros((2, 2), np.uint8),
        }
    )
    page = page_of(make_report(result, tmp_path / "out"))
    assert "No halves of the scan" in page.text
    assert "doesn't tell how the iterations went" in page.text


def test_an_object_of_nothing_but_nan_is_drawn(made: Simulation, altered: Callable[..., Path]) -> None:
    nothing = np.full((1, *made.object.shape), np.nan, np.complex64)
    result = altered(**{"object/data": nothing, "frc/frc": np.full(made.object.shape[0] // 2, np.nan)})
    assert make_report(result).exists()
    assert thumbnail(result)


def test_the_object_loses_ramp_and_offset(star: Path, made: Simulation) -> None:
    with PtychoFile(star) as file:
        found = shown(file)
    lit, truth = found.region.lit, made.object[found.region.part]
    np.testing.assert_allclose(found.ramp, RAMP, atol=5e-4)
    tilted = truth.astype(np.complex64)
    tilt(tilted, (RAMP[0] - found.ramp[0], RAMP[1] - found.ramp[1]), +1)
    mean = np.angle(tilted[lit].sum())
    difference = np.angle(found.wave[lit] * np.conj(tilted[lit]) * np.exp(1j * mean))
    assert np.sqrt(np.mean(difference**2)) < 0.05
    assert np.isnan(found.phase[~found.region.drawn]).all()
    assert np.isfinite(found.amplitude[lit]).all()


def test_the_object_is_cropped_to_where_light_fell(star: Path, made: Simulation) -> None:
    light = made.illumination()
    with PtychoFile(star) as file:
        rows, columns = region_of(file).part
    outside = light.copy()
    outside[rows, columns] = 0
    assert outside.max() < 0.2 * light.max()
    assert (rows.stop - rows.start) * (columns.stop - columns.start) < 0.9 * light.size


def test_the_ramp_of_a_large_object_is_found_from_its_middle(star: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wave_module, "ENOUGH", 64)
    with PtychoFile(star) as file:
        np.testing.assert_allclose(shown(file).ramp, RAMP, atol=2e-3)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))
def test_waves_are_averaged_across_the_wrap(rows: int, columns: int, longest: int) -> None:
    wave = np.full((rows, columns), -1, np.complex64) * np.exp(1j * np.float32(1e-3))
    wave[::2] = np.conj(wave[::2])
    np.testing.assert_allclose(np.abs(thin_wave(wave, longest)), 1, atol=1e-4)


def test_probe_and_object_keep_their_product(star: Path, made: Simulation) -> None:
    with PtychoFile(star) as file:
        ramp, probe = shown(file).ramp, file.probe()
    assert probe is not None
    tilt(probe, ramp, +1)
    middle = made.probe.shape[1] // 2
    np.testing.assert_allclose(probe[0, middle, middle], made.probe[0, middle, middle])
    turned = probe[0, middle + 5, middle] / made.probe[0, middle + 5, middle]
    assert np.angle(turned) == pytest.approx(2 * np.pi * 5 * ramp[0], abs=1e-3)


def test_hue_is_the_phase_and_brightness_the_amplitude() -> None:
    wave = np.array([[2, 2j, -1, -1j]], np.complex64)
    hue, saturation, value = np.moveaxis(rgb_to_hsv(colours_of(wave)), -1, 0)
    np.testing.assert_allclose(hue, [[0, 0.25, 0.5, 0.75]], atol=1e-6)
    np.testing.assert_allclose(saturation, 1)
    np.testing.assert_allclose(value, [[1, 1, 0.5, 0.5]], atol=1e-2)
    assert (colours_of(np.zeros((3, 3), np.complex64)) == 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 11])
def test_modes_bear_their_share(tmp_path: Path, count: int) -> None:
    modes = [np.full((12, 10), i + 1, np.complex64) for i in range(count)]
    figure = waves(modes, [1 / count] * count, (1e-8, 1e-8))
    assert titles(figure) == [f"mode {i + 1}, {100 / count:.1f} %" for i in range(min(count, 8))]
    save(figure, tmp_path / "m.png")


def test_each_step_has_a_curve_of_its_own(star: Path) -> None:
    with PtychoFile(star) as file:
        curves = file.curves()
    assert set(curves) == {"error", "likelihood", "step", "change"}
    first, second = curves["error"][0]
    assert (first.label, second.label) == ("dm", "fine")
    assert (first.iterations[0], first.iterations[-1]) == (1, 30)
    assert (second.iterations[0], second.iterations[-1]) == (31, 42)
    assert [curve.label for curve in curves["likelihood"][0]] == ["fine"]
    figure = iterations(curves, ("error",))
    assert titles(figure) == ["error", "change", "likelihood", "step"]
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log", "linear", "linear"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["1 dm", "2 fine"]


def test_parts_needn_t_be_there(altered: Callable[..., Path]) -> None:
    with PtychoFile(altered("metrics/part")) as file:
        (curve,) = file.curves()["error"][0]
    assert len(curve.values) == 42


def ring_curves(frc: list[float], resolution: float | None = 2e-8) -> Rings:
    n = len(frc)
    return Rings(np.linspace(0, 2e7, n), np.array(frc), np.full(n, 0.4), np.full(n, 0.6), resolution)


def test_the_resolution_is_marked_where_the_curves_cross(tmp_path: Path) -> None:
    found = ring_curves([1.0, 1.0, 0.8, 0.0, 0.9])
    assert found.crossing == pytest.approx(1.25e7)
    figure = rings(found)
    assert "20 nm" in [text.get_text() for text in figure.axes[0].texts]
    save(figure, tmp_path / "f.png")


@pytest.mark.parametrize(
    ("frc", "crossing"), [([1.0, 0.9, 0.8], None), ([0.1, 0.9, 0.8], None), ([np.nan] * 3, None), ([0.1, 0.1, 1], 1e7)]
)
def test_curves_that_do_not_cross(tmp_path: Path, frc: list[float], crossing: float | None) -> None:
    found = ring_curves(frc, None)
    assert found.crossing == (None if crossing is None else pytest.approx(crossing))
    figure = rings(found)
    assert not figure.axes[0].texts
    save(figure, tmp_path / "f.png")


def test_pictures_on_the_object_have_its_coordinates(star: Path, made: Simulation, tmp_path: Path) -> None:
    pixel = made.object_pixel
    with PtychoFile(star) as file:
        found = shown(file)
        figure = phase(found, file.pixel_size)
        drawn = positions(made.positions, file.light(), file.shape[1:], file.pixel_size)
    rows, columns = found.region.part
    edges = np.array([columns.start - 0.5, columns.stop - 0.5, rows.stop - 0.5, rows.start - 0.5]) * pixel * 1e6
    np.testing.assert_allclose(figure.axes[0].images[0].get_extent(), edges)
    assert figure.axes[0].get_xlabel() == "x (µm)"
    assert figure.axes[1].get_ylabel() == "phase (rad)"
    dots = drawn.axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(dots[:, ::-1], made.positions * 1e6)
    save(drawn, tmp_path / "p.png")


@pytest.mark.parametrize("shape", [(1, 1), (4, 300), (2500, 7)])
def test_odd_shapes_can_be_drawn(altered: Callable[..., Path], shape: tuple[int, int]) -> None:
    nothing = {"object/data": np.ones((1, *shape), np.complex64), "object/light": np.ones(shape, np.float32)}
    assert make_report(altered(**nothing)).exists()


def test_frames_show_what_is_not_used(tmp_path: Path) -> None:
    image = np.random.default_rng(0).poisson(2, (20, 30)).astype(np.float32)
    good = np.ones_like(image)
    good[:, 7] = 0
    figure = mean_frame(image, good)
    np.testing.assert_array_equal(~np.ma.getmaskarray(figure.axes[0].images[1].get_array()), good == 0)
    save(figure, tmp_path / "m.png")
    save(mean_frame(np.full((3, 3), np.nan, np.float32), None), tmp_path / "n.png")


def test_modes_and_layers_of_the_object_are_drawn(made: Simulation, tmp_path: Path) -> None:
    result = write_ptycho(tmp_path / "two.h5", made, object_modes=2, halves=False)
    page = page_of(make_report(result))
    assert "All modes of the object" in page.text
    with h5py.File(result, "a") as file:
        file["entry/object"].attrs["axes"] = ["layer", "y", "x"]
    page = page_of(make_report(result))
    assert "All layers of the object" in page.text
    assert "first layer of the object" in page.text


def test_thumbnail_and_preview_show_the_phase(star: Path, made: Simulation, altered: Callable[..., Path]) -> None:
    picture = thumbnail(star)
    assert len(picture) < 100_000
    with Image.open(io.BytesIO(picture)) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        assert 64 < max(image.size) <= 256
    path = preview(altered())
    with Image.open(path) as image:
        assert path.name == "star.png"
        assert image.width > 800


@pytest.mark.parametrize("kind", ["real", "two axes", "cut off"])
def test_what_is_no_result_is_refused_in_one_line(star: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r.h5"
    if kind == "cut off":
        path.write_bytes(star.read_bytes()[:-5000])
    else:
        with h5py.File(path, "w") as file:
            file["entry/object/data"] = np.ones((1, 2, 2)) if kind == "real" else np.ones((2, 2), np.complex64)
    for draw in (make_report, thumbnail, preview):
        with pytest.raises(InputError) as caught:
            draw(path)
        assert "r.h5" in caught.value.message
        assert "\n" not in caught.value.message
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5"]


def test_the_command_prints_where_the_page_is(star: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(star, tmp_path / "out")
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "star.html")
