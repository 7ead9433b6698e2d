import io
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.figure import Figure
from PIL import Image

from hpcdaas.errors import InputError
from hpcdaas.view import cuts as cuts_module
from hpcdaas.view import volume as volume_module
from hpcdaas.view.figures import cuts, histogram, preview_png, sample, save, sinograms, strip
from hpcdaas.view.grey import disc, grey, grey_levels, thin
from hpcdaas.view.picture import bar_length, length
from hpcdaas.view.thumbnail import thumbnail
from hpcdaas.view.volume import ResultFile
from view_results import phantom, write_result, write_volume


def png_size(figure: Figure, path: Path) -> tuple[int, int]:
    save(figure, path)
    with Image.open(path) as image:
        return image.size


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


@pytest.mark.parametrize("chunks", [False, True], ids=["contiguous", "chunked"])
def test_planes_are_those_of_the_volume(tmp_path: Path, chunks: bool) -> None:
    volume = np.random.default_rng(0).random((5, 7, 9), np.float32)
    with ResultFile(write_volume(tmp_path / "r.h5", volume, chunks=chunks)) as file:
        np.testing.assert_array_equal(file.plane(0, 3), volume[3])
        np.testing.assert_array_equal(file.plane(1, 6), volume[:, 6])
        np.testing.assert_array_equal(file.plane(2, 8), volume[:, :, 8])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_become_physical_values(tmp_path: Path, dtype: type) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (2, 3, 4)).astype(dtype)
    with ResultFile(write_volume(tmp_path / "r.h5", stored, scale=0.5, offset=-3.0)) as file:
        plane = file.plane(0, 1)
        assert plane.dtype == np.float32
        np.testing.assert_allclose(plane, stored[1] * 0.5 - 3)


def test_the_plane_across_x_is_thinned_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_module, "ACROSS", 4)
    volume = np.random.default_rng(0).random((5, 9, 3), np.float32)
    with ResultFile(write_volume(tmp_path / "r.h5", volume)) as file:
        np.testing.assert_array_equal(file.plane(2, 1), volume[::2, ::3, 1])


def test_a_kept_copy_of_the_middle_plane_across_x_is_used(tmp_path: Path) -> None:
    path = write_volume(tmp_path / "r.h5", np.zeros((5, 6, 7), np.float32))
    with h5py.File(path, "a") as file:
        file["entry/diagnostics/cut_x"] = np.ones((5, 6))
    with ResultFile(path) as file:
        assert (file.plane(2, 3) == 1).all()
        assert (file.plane(2, 2) == 0).all()


def test_axes_give_the_pixel_size(tmp_path: Path) -> None:
    volume = np.zeros((1, 4, 6), np.float32)
    with ResultFile(write_volume(tmp_path / "a.h5", volume, pixel=2e-6)) as file:
        assert file.pixel_size == pytest.approx(2e-6)
        assert file.axes[0].step == pytest.approx(2e-6)  # one slice: as thick as wide
        assert file.axes[2].first == pytest.approx(-5e-6)
    with ResultFile(write_volume(tmp_path / "b.h5", volume, pixel=None)) as file:
        assert file.pixel_size is None
        assert file.axes[2] == (-2.5, 1.0, False)


def damaged(folder: Path, kind: str) -> Path:
    path = folder / "r.h5"
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "cut off":
        write_volume(path, np.ones((4, 50, 50), np.float32))
        path.write_bytes(path.read_bytes()[:20000])
    elif kind == "no volume":
        with h5py.File(path, "w") as file:
            file["entry/data/other"] = 1
    elif kind == "two axes":
        with h5py.File(path, "w") as file:
            file["entry/data/data"] = np.ones((2, 2))
    return path


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "folder", "cut off", "no volume", "two axes"])
def test_what_is_no_result_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        thumbnail(damaged(tmp_path, kind))
    assert "r.h5" in caught.value.message
    assert "\n" not in caught.value.message


@given(arrays(np.float32, (12, 9), elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf])))
def test_grey_levels_are_finite_and_differ(image: np.ndarray) -> None:
    black, white = grey_levels([image])
    assert np.isfinite([black, white]).all()
    assert black < white
    assert grey(image, (black, white)).dtype == np.uint8


def test_grey_levels_ignore_outliers_and_corners() -> None:
    image = np.linspace(0, 1, 10000, dtype=np.float32).reshape(100, 100)
    image[50, 50:60] = 1e9
    image[:5, :5] = -1e9  # no projection saw the corners whole
    black, white = grey_levels([image])
    assert -0.1 < black < 0.1
    assert 0.9 < white < 1.1


def test_the_disc_touches_the_edges() -> None:
    inside = disc((101, 101))
    assert inside[0, 50]
    assert inside[50, 100]
    assert not inside[0, 0]
    assert inside.mean() == pytest.approx(np.pi / 4, abs=0.02)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 30))
def test_thinning_keeps_the_mean_and_the_bound(ny: int, nx: int, longest: int) -> None:
    image = np.full((ny, nx), 3.0, np.float32)
    small = thin(image, longest)
    assert max(small.shape) <= max(longest, 1) * 2  # odd ends are dropped, never more than a block
    assert small.shape[0] * small.shape[1] > 0
    assert (small == 3).all()


@given(st.floats(1e-9, 1e3))
def test_scale_bars_are_round_and_fit(width: float) -> None:
    bar = bar_length(width)
    assert 0.09 * width < bar <= 0.2501 * width
    assert f"{bar:.3e}"[0] in "125"
    assert 1 <= bar * length(bar)[0] < 1000 or bar < 1e-9


def test_lengths_read_well() -> None:
    said = [f"{v * length(v)[0]:.4g} {length(v)[1]}" for v in (1e-8, 6.5e-7, 2e-5, 1.3e-3, 2.0)]
    assert said == ["10 nm", "0.65 µm", "20 µm", "1.3 mm", "2 m"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 40, 40), ["slice 1 of 1"]), ((3, 40, 40), ["slice 1 of 3", "slice 2 of 3", "slice 3 of 3"])],
)
def test_few_slices_are_shown_as_slices(tmp_path: Path, shape: tuple[int, int, int], expected: list[str]) -> None:
    with ResultFile(write_volume(tmp_path / "r.h5", phantom(shape))) as file:
        figure = cuts(file)
    assert titles(figure) == expected
    assert min(png_size(figure, tmp_path / "p.png")) > 200


def test_cuts_show_the_middle_planes_in_their_own_units(tmp_path: Path) -> None:
    volume = phantom((20, 40, 40))
    with ResultFile(write_volume(tmp_path / "r.h5", volume)) as file:
        figure = cuts(file)
    top, below, right = (axes.images[0] for axes in figure.axes[:3])
    np.testing.assert_array_equal(top.get_array(), volume[10])
    np.testing.assert_array_equal(below.get_array(), volume[:, 20])
    np.testing.assert_array_equal(right.get_array(), volume[:, :, 20].T)
    assert top.get_extent() == pytest.approx([-13, 13, 13, -13])  # 40 voxels of 0.65 um, the axis in the middle
    assert right.get_extent() == pytest.approx([-0.325, 12.675, 13, -13])
    assert figure.axes[1].get_xlabel() == "x (µm)"
    assert titles(figure)[0] == "slice 11 of 20, z = 6.5 µm"


def test_cuts_without_pixel_size_count_pixels(tmp_path: Path) -> None:
    with ResultFile(write_volume(tmp_path / "r.h5", phantom((20, 40, 40)), pixel=None)) as file:
        figure = cuts(file)
    assert figure.axes[1].get_xlabel() == "x (pixel)"


@pytest.mark.parametrize("shape", [(cuts_module.THIN, 300, 40), (200, 30, 30), (17, 1, 1)])
def test_odd_shapes_can_be_drawn(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    with ResultFile(write_volume(tmp_path / "r.h5", np.zeros(shape, np.float32))) as file:
        png_size(cuts(file), tmp_path / "p.png")


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_each_trial_says_its_centre_and_one_is_marked(tmp_path: Path, count: int) -> None:
    centers = [100 + 0.25 * i for i in range(count)]
    figure = strip(np.random.default_rng(0).random((count, 20, 20), np.float32), centers, centers[-1] - 0.1)
    shown = titles(figure)
    assert shown[:-1] == [f"centre {center:.2f}" for center in centers[:-1]]
    assert shown[-1] == f"centre {centers[-1]:.2f}, found {centers[-1] - 0.1:.2f}"
    png_size(figure, tmp_path / "p.png")


def test_no_trial_is_marked_where_none_was_chosen() -> None:
    assert titles(strip(np.zeros((2, 9, 9), np.float32), [1.0, 2.0], None)) == ["centre 1.00", "centre 2.00"]


def test_sinograms_and_histogram(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((18, 30), np.float32)
    assert titles(sinograms(image, image, 4)) == ["row 4, as measured", "row 4, as reconstructed"]
    assert titles(sinograms(None, image, None)) == ["as reconstructed"]
    png_size(sinograms(image, None, 1), tmp_path / "s.png")
    figure = histogram(np.append(image.ravel(), np.nan), "1/m", (0.0, 1.0))
    assert figure.axes[0].get_xlabel() == "value (1/m)"
    (stairs,) = figure.axes[0].patches
    assert stairs.get_data().values.sum() == pytest.approx(100)
    png_size(figure, tmp_path / "h.png")
    png_size(histogram(np.full(4, np.nan, np.float32), "", (0.0, 1.0)), tmp_path / "n.png")


def test_the_sample_reads_few_slices(tmp_path: Path) -> None:
    volume = np.arange(30, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32)
    with ResultFile(write_volume(tmp_path / "r.h5", volume)) as file:
        assert sorted(set(sample(file))) == [1, 5, 8, 11, 15, 18, 21, 25, 28]
        assert file.planes(99) == list(range(30))


@pytest.mark.parametrize("shape", [(3, 1000, 1000), (1, 5, 3), (2, 300, 2000)])
def test_thumbnails_are_small_grey_pngs(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(0).random(shape, np.float32)  # nothing compresses worse
    picture = thumbnail(write_volume(tmp_path / "r.h5", noise))
    assert len(picture) < 100_000
    with Image.open(io.BytesIO(picture)) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        assert max(image.size) <= 256


def test_preview(tmp_path: Path) -> None:
    slices = phantom((3, 1500, 1500))
    preview_png(slices, tmp_path / "p.png", ["row 0", "row 1", "row 2"], 6.5e-7)
    with Image.open(tmp_path / "p.png") as image:
        assert image.width > 2.5 * image.height
    preview_png(slices[:, :30, :40], tmp_path / "q.png")
    with pytest.raises(InputError, match="can't be written"):
        preview_png(slices[:, :30, :40], tmp_path / "missing" / "p.png")


def test_a_whole_result_file_is_understood(tmp_path: Path) -> None:
    with ResultFile(write_result(tmp_path / "r.h5", (4, 32, 32))) as file:
        assert file.metrics()["center"] == (127.53, "pixel")
        assert file.text("sample/name") == "tooth"
        assert file.text("nothing") is None
        assert file.image("sinogram") is not None
        assert file.image("nothing") is None
        assert file.diagnostic("row") == 2
