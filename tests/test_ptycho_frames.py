"""What is used of a frame: the square around the beam, and its good pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from ptycho_scans import cut_of, scan_of


def counts(shape: tuple[int, ...] = (6, 40, 40), dtype: str = "u2", seed: int = 0) -> NDArray[Any]:
    """A broad beam about the middle of the frame; every pixel can be told apart."""
    y, x = (np.arange(n) - n // 2 for n in shape[1:])
    beam = 300 * np.exp(-(y[:, None] ** 2 + x**2) / 200)
    return (10 + np.random.default_rng(seed).poisson(beam, shape)).astype(dtype)


def spot(shape: tuple[int, int], row: float, column: float, width: float = 3.0) -> NDArray[np.uint16]:
    """Four frames of a beam that is somewhere."""
    y, x = (np.arange(n) - c for n, c in zip(shape, (row, column), strict=True))
    one = 2000 * np.exp(-(y[:, None] ** 2 + x**2) / (2 * width**2))
    return np.repeat(np.rint(one).astype(np.uint16)[None], 4, axis=0)


def middle_of(cut: Any) -> tuple[int, int]:
    """Row and column of the frames at index n // 2 of what is used."""
    return cut.row + cut.n // 2 * cut.bin, cut.column + cut.n // 2 * cut.bin


# The square


@pytest.mark.parametrize("n", [39, 40])
def test_whole_frames_stay_whole(n: int) -> None:
    frames = counts((5, n, n))
    cut = cut_of(scan_of(frames))
    assert (cut.row, cut.column, cut.n, cut.good.all()) == (0, 0, n, True)
    used = cut.apply(frames)
    assert np.shares_memory(used, frames)
    assert used.dtype == frames.dtype
    np.testing.assert_allclose(cut.mean, frames.mean(axis=0), rtol=1e-6)
    assert cut.brightest == frames.sum(axis=(1, 2), dtype=float).max()


@pytest.mark.parametrize(("row", "column"), [(31.2, 60.4), (20.0, 25.0)])
def test_the_beam_is_found_away_from_the_middle(row: float, column: float) -> None:
    frames = spot((80, 90), row, column)
    cut = cut_of(scan_of(frames))
    assert middle_of(cut) == (round(row), round(column))
    # as large as fits around it, up to a length for fast transforms
    fits = min(min(2 * c, 2 * (length - c)) for c, length in zip(middle_of(cut), (80, 90), strict=True))
    assert 0.85 * fits <= cut.n <= fits + 1
    brightest = np.unravel_index(cut.apply(frames)[0].argmax(), (cut.n, cut.n))
    assert brightest == (cut.n // 2, cut.n // 2)


def test_a_beam_near_the_middle_is_in_the_middle() -> None:
    """Frames are seldom symmetric: their centre of mass says little."""
    assert middle_of(cut_of(scan_of(spot((80, 80), 42, 38)))) == (40, 40)


def test_near_field_frames_have_no_beam_to_be_found() -> None:
    scan = scan_of(spot((80, 80), 20, 60), focus_distance=1e-3)
    assert (cut_of(scan).row, cut_of(scan).column, cut_of(scan).n) == (0, 0, 80)


def test_the_beam_of_the_user_then_that_of_the_file() -> None:
    frames = spot((80, 80), 40, 40)
    assert middle_of(cut_of(scan_of(frames, beam_center=(30.2, 33.7)))) == (30, 34)
    assert middle_of(cut_of(scan_of(frames, beam_center=(30.2, 33.7)), row=25)) == (25, 34)
    assert middle_of(cut_of(scan_of(frames), row=25, column=50.6)) == (25, 51)


@given(
    st.tuples(st.integers(16, 60), st.integers(16, 60)), st.floats(0.25, 0.75), st.floats(0.25, 0.75), st.integers(1, 3)
)
@settings(max_examples=60, deadline=None)
def test_any_square_is_within_the_frame_and_around_the_beam(
    shape: tuple[int, int], down: float, across: float, bin_: int
) -> None:
    beam = (int(down * shape[0]), int(across * shape[1]))
    frames = np.full((2, *shape), 5, np.uint16)
    try:
        cut = cut_of(scan_of(frames), row=beam[0], column=beam[1], bin=bin_)
    except InputError:
        assert min(min(c, length - c) for c, length in zip(beam, shape, strict=True)) < 5 * bin_
        return
    assert middle_of(cut) == beam
    assert min(cut.row, cut.column) >= 0
    assert cut.row + cut.size <= shape[0]
    assert cut.column + cut.size <= shape[1]
    assert cut.n * cut.bin == cut.size
    assert cut.apply(frames).shape == (2, cut.n, cut.n)
    # one more pixel on both sides would reach beyond, or cost time
    assert cut.n >= 0.8 * min(min(c, length - c) for c, length in zip(beam, shape, strict=True)) * 2 // bin_ - 2


@pytest.mark.parametrize("size", [16, 17, 40])
def test_the_user_chooses_the_size(size: int) -> None:
    frames = counts()
    cut = cut_of(scan_of(frames), size=size)
    first = 20 - size // 2
    np.testing.assert_array_equal(cut.apply(frames), frames[:, first : first + size, first : first + size])
    assert cut.mean.shape == cut.good.shape == (size, size)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"size": 41}, "square of 40, not of 41"),
        ({"size": 21, "bin": 2}, "square of 20 × 2, not of 21"),
        ({"size": 30, "row": 10}, "beam at .10, 20.*square of 21, not of 30"),
        ({"row": 3}, "square of 7, which is too small"),
        ({"bin": 8}, "square of 4 × 8, which is too small"),
        ({"row": 40}, "beam at .40, 20. is off the frames of 40 × 40"),
        ({"column": 1e9}, "is off the frames"),
    ],
)  # fmt: skip
def test_squares_that_do_not_fit(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        cut_of(scan_of(counts()), **given)
    assert "-s frames." in refused.value.hint


# Pixels


@pytest.mark.parametrize("bin_", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8"])
def test_binning_adds_up(bin_: int, dtype: str) -> None:
    frames = (counts() % 200).astype(dtype)
    cut = cut_of(scan_of(frames), bin=bin_, row=20, column=20)
    used = cut.apply(frames)
    assert used.dtype == np.float32
    for i in range(cut.n):
        for j in range(cut.n):
            rows = slice(cut.row + i * bin_, cut.row + (i + 1) * bin_)
            columns = slice(cut.column + j * bin_, cut.column + (j + 1) * bin_)
            expected = frames[:, rows, columns].astype(float).sum(axis=(1, 2))
            np.testing.assert_array_equal(used[:, i, j], expected)
    np.testing.assert_allclose(cut.mean, used.mean(axis=0), rtol=1e-6)
    assert cut.brightest == pytest.approx(used.sum(axis=(1, 2), dtype=float).max())


def test_a_bad_pixel_spoils_what_it_is_added_to_and_nothing_else() -> None:
    frames = counts(dtype="i4")
    frames[2, 11, 30] = -3  # in one frame
    frames[3, 20, 21] = 500  # over the limit
    good = np.ones((40, 40), bool)
    good[5, 7] = False  # in all
    cut = cut_of(scan_of(frames, good=good), bin=2, saturation=500)
    used = cut.apply(frames)
    assert np.argwhere(used == -1).tolist() == [[2, 5, 15], [3, 10, 10]]
    assert np.argwhere(~cut.good).tolist() == [[2, 3]]
    assert cut.mean[2, 3] == 0
    assert cut.limit == np.inf  # sums of good pixels may be above it


def test_a_mask_takes_pixels_away() -> None:
    good = np.random.default_rng(0).random((40, 40)) > 0.2
    frames = counts()
    cut = cut_of(scan_of(frames, good=good), size=30)
    inside = (slice(5, 35), slice(5, 35))
    np.testing.assert_array_equal(cut.good, good[inside])
    np.testing.assert_allclose(cut.mean, np.where(good, frames.mean(axis=0), 0)[inside], rtol=1e-6)
    assert cut.brightest == frames[:, *inside][:, good[inside]].sum(axis=1, dtype=float).max()


@pytest.mark.parametrize("pixels", [[(7, 9)], [(7, 9), (7, 10)], [(0, 0)], [(39, 12)]])
def test_hot_pixels_are_found_alone_and_in_pairs(pixels: list[tuple[int, int]]) -> None:
    frames = counts()
    clean = cut_of(scan_of(frames))
    for pixel in pixels:
        frames[:, *pixel] = 60000
    cut = cut_of(scan_of(frames))
    assert np.argwhere(~cut.good).tolist() == [list(pixel) for pixel in pixels]
    assert all(cut.mean[pixel] == 0 for pixel in pixels)
    # what they count is no light
    assert cut.brightest == pytest.approx(clean.brightest, rel=0.01)
    assert cut_of(scan_of(frames), hot=0).good.all()


@pytest.mark.parametrize("width", [0.6, 1.0, 3.0])
@pytest.mark.parametrize("place", [(20, 20), (20.5, 20.3), (20.5, 20.5)])
def test_a_narrow_direct_beam_is_not_hot(width: float, place: tuple[float, float]) -> None:
    """A probe as wide as a quarter of its window has a direct beam of two pixels."""
    assert cut_of(scan_of(spot((40, 40), *place, width))).good.all()


@pytest.mark.parametrize(("dtype", "limit"), [("u2", 65535), ("u4", 2**32 - 1), ("u1", np.inf), ("i4", np.inf)])
def test_the_largest_number_of_an_unsigned_type_counts_nothing(dtype: str, limit: float) -> None:
    assert cut_of(scan_of((counts() % 250).astype(dtype))).limit == limit


def test_saturation_of_the_user_then_of_the_file() -> None:
    frames = counts()
    frames[1, 20, 22] = 900
    plain = np.delete(frames, 1, axis=0)[:, 20, 22].sum() / len(frames)
    assert cut_of(scan_of(frames)).mean[20, 22] == pytest.approx(frames[:, 20, 22].mean())
    for scan, asked in (
        (scan_of(frames, saturation=900.0), {}),
        (scan_of(frames, saturation=9.0), {"saturation": 900}),
    ):
        cut = cut_of(scan, **asked)
        assert cut.limit == 900
        assert cut.mean[20, 22] == pytest.approx(plain)
        assert cut.apply(frames).dtype == np.uint16  # the primitives leave such counts out


def test_darks_are_subtracted() -> None:
    frames = counts()
    frames[1, 20, 22] = 900
    dark = np.random.default_rng(3).uniform(0, 20, (40, 40)).astype(np.float32)
    cut = cut_of(scan_of(frames, dark=dark), saturation=900, size=30)
    expected = np.maximum(frames.astype(np.float32) - dark, 0)[:, 5:35, 5:35]
    expected[1, 15, 17] = -1
    np.testing.assert_array_equal(cut.apply(frames), expected)
    assert cut.limit == np.inf
    expected[1, 15, 17] = 0
    np.testing.assert_allclose(cut.mean, expected.mean(axis=0), rtol=1e-5)
    assert cut.brightest == pytest.approx(expected.sum(axis=(1, 2), dtype=float).max())


def test_counts_below_zero_are_no_light() -> None:
    frames = counts(dtype="i2")
    frames[:, 3, 4] = -7
    cut = cut_of(scan_of(frames))
    assert cut.mean[3, 4] == 0
    assert cut.brightest == np.maximum(frames, 0).sum(axis=(1, 2), dtype=float).max()
    assert cut.apply(frames).min() == -7  # the primitives leave such counts out


@pytest.mark.parametrize("dtype", ["u8", "i8", "f8"])
def test_types_that_the_primitives_do_not_take(dtype: str) -> None:
    frames = counts(dtype=dtype)
    cut = cut_of(scan_of(frames))
    assert cut.apply(frames).dtype == np.float32
    np.testing.assert_array_equal(cut.apply(frames), frames)


@pytest.mark.parametrize("which", ["zero", "negative", "masked", "saturated"])
def test_frames_without_light(which: str) -> None:
    frames = np.zeros((3, 20, 20), np.int32)
    over: dict[str, Any] = {}
    if which == "negative":
        frames -= 1
    elif which == "masked":
        frames[:, 4, 4] = 100
        over["good"] = frames[0] == 0
    elif which == "saturated":
        frames += 1000
        over["saturation"] = 1000.0
    with pytest.raises(InputError, match=r"All 3 frames .* empty"):
        cut_of(scan_of(frames, **over))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    frames = counts(dtype="f4")
    frames[4, 3, 3] = value
    with pytest.raises(InputError, match=r"Frame 4 .* not finite"):
        cut_of(scan_of(frames))


def test_only_some_frames_are_looked_at() -> None:
    scan = scan_of(counts((300, 16, 16)))
    cut_of(scan)
    seen = np.unique(scan.frames.read_views)
    assert len(seen) == 64
    assert (seen[0], seen[-1]) == (0, 299)
