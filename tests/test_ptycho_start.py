"""The first probe and object: where they are from, how much light they hold, and what their modes are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.ptycho.geometry import make_geometry, object_pixel, transfer
from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
from hpcdaas.ptycho.start import Start, start
from hpcdaas.scan import PtychoScan
from ptycho_scans import FAR, NEAR, cut_of, simulated

N = 64


def begun(scan: PtychoScan, cut: dict[str, Any] | None = None, **parameters: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    used = cut_of(scan, **(cut or {}))
    return start(scan, used, make_geometry(scan, used.n, used.bin), Start(**parameters))


def probe_of(scan: PtychoScan, **parameters: Any) -> NDArray[Any]:
    return begun(scan, **parameters)[1]


def alike(a: NDArray[Any], b: NDArray[Any]) -> float:
    """|⟨a, b⟩| over the norms: 1 where they differ by a factor."""
    return float(abs(np.vdot(a, b)) / np.linalg.norm(a) / np.linalg.norm(b))


def power(mode: NDArray[Any]) -> float:
    return float((np.abs(mode.astype(complex)) ** 2).sum())


@pytest.fixture(scope="module")
def far() -> PtychoScan:
    return simulated(FAR, views=20, gap=0, dead=0)


@pytest.fixture(scope="module")
def near() -> PtychoScan:
    return simulated(NEAR, views=20, gap=0, dead=0)


def given_probe(modes: int = 1, n: int = N, rows: int | None = None) -> NDArray[np.complex64]:
    """Smooth and off the middle, so that a wrong shift would be seen."""
    y, x = (np.arange(length) - length // 2 for length in (rows or n, n))
    one = np.exp(-((y[:, None] - 3) ** 2 + (x + 2) ** 2) / 60 + 0.05j * y[:, None])
    return np.stack([one * (x / 9) ** i for i in range(modes)]).astype(np.complex64)


KINDS = {
    "auto": {},
    "mean": {"probe": "mean"},
    "file": {"probe": "file"},
    "pinhole": {"probe": "pinhole", "diameter": "1 um", "defocus": "1 mm"},
    "zone_plate": {"probe": "zone_plate", "outer_zone": "95 nm", "defocus": "100 um"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("modes", [1, 3])
def test_as_much_light_as_the_brightest_frame(far: PtychoScan, kind: str, modes: int) -> None:
    scan = replace(far, probe=given_probe())
    object_, probe = begun(scan, modes=modes, object_modes=2, **KINDS[kind])
    assert (probe.shape, probe.dtype, probe.flags.c_contiguous) == ((modes, N, N), np.complex64, True)
    brightest = scan.frames.values.sum(axis=(1, 2), dtype=float).max()
    assert sum(map(power, probe)) == pytest.approx(brightest, rel=1e-5)
    assert object_.shape[0] == 2
    assert object_.dtype == np.complex64
    assert (object_[0] == 1).all()
    assert 0 < np.abs(object_[1]).max() < 0.2


def test_the_file_before_the_mean_frame(far: PtychoScan) -> None:
    probe = given_probe()
    assert alike(probe_of(replace(far, probe=probe)), probe) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(probe_of(far), probe_of(far, probe="mean"))
    np.testing.assert_array_equal(probe_of(replace(far, probe=probe), probe="mean"), probe_of(far))


def test_the_mean_frame_far(far: PtychoScan) -> None:
    """Its amplitude is the mean frame's, seen with the middle of the probe at index n // 2: a flat phase."""
    probe = probe_of(far)[0]
    y = np.arange(N) - N // 2
    kernel = np.exp(-2j * np.pi * np.outer(y, y) / N)  # both with their middle at n // 2
    wave = kernel @ probe @ kernel / N
    mean = far.frames.values.mean(axis=0)
    np.testing.assert_allclose(np.abs(wave) ** 2 / power(wave), mean / mean.sum(), atol=1e-6)
    assert (wave.real > -1e-3 * np.abs(wave).max()).all()


def test_the_mean_frame_near(near: PtychoScan) -> None:
    """Sent on again it has the mean frame's amplitude."""
    probe = probe_of(near)[0]
    way = transfer(near, N, object_pixel(near, N))
    wave = np.fft.ifft2(np.fft.fft2(probe) * way)
    mean = near.frames.values.mean(axis=0)
    np.testing.assert_allclose(np.abs(wave) ** 2 / power(wave), mean / mean.sum(), atol=1e-6)
    assert np.abs(np.angle(wave[mean > 0.5 * mean.max()])).max() < 1e-3


def test_a_pinhole_is_a_disc(far: PtychoScan) -> None:
    pixel = object_pixel(far, N)[0]
    probe = np.abs(probe_of(far, probe="pinhole", diameter=20 * pixel)[0])
    y = np.arange(N) - N // 2
    r = np.hypot(y[:, None], y)
    inside = probe[N // 2, N // 2]
    np.testing.assert_allclose(probe[r < 9.4], inside, rtol=1e-5)
    assert probe[r > 10.6].max() < 1e-5 * inside
    assert probe.sum() / inside == pytest.approx(np.pi * 100, rel=0.01)
    # on its way the light spreads: Fresnel number 0.5
    z = (10 * pixel) ** 2 / (0.5 * far.wavelength)
    spread = np.abs(probe_of(far, probe="pinhole", diameter=20 * pixel, defocus=z)[0])
    assert 0.3 < (spread[r < 9.4] ** 2).sum() / (spread**2).sum() < 0.95


def test_a_zone_plate_gives_the_probe_of_the_simulation(far: PtychoScan) -> None:
    truth = Simulation(SimulationParameters(**(FAR | {"views": 20}))).probe[0]
    given = {"outer_zone": "95 nm", "central_stop": 0.35, "defocus": "100 um"}
    assert alike(probe_of(far, probe="zone_plate", **given)[0], truth) > 0.999
    # behind the focus isn't before it, and the stop isn't nothing
    assert alike(probe_of(far, probe="zone_plate", **(given | {"defocus": "-100 um"}))[0], truth) < 0.7
    assert alike(probe_of(far, probe="zone_plate", **(given | {"central_stop": 0.0}))[0], truth) < 0.97


def test_defocus_of_a_probe_from_elsewhere(far: PtychoScan) -> None:
    """A Gaussian beam of waist w spreads to w√(1 + (zλ/πw²)²)."""
    pixel, w = object_pixel(far, N)[0], 3.0
    y = np.arange(N) - N // 2
    gauss = np.exp(-(y[:, None] ** 2 + y**2) / w**2).astype(np.complex64)[None]
    z = 2 * np.pi * (w * pixel) ** 2 / far.wavelength
    light = np.abs(probe_of(replace(far, probe=gauss), defocus=z)[0]) ** 2
    width = 2 * np.sqrt((light * y**2).sum() / light.sum())
    assert width == pytest.approx(w * np.sqrt(1 + 2**2), rel=0.01)


# Modes


@pytest.mark.parametrize(("kind", "modes"), [("mean", 2), ("pinhole", 6), ("zone_plate", 4), ("mean", 12)])
@pytest.mark.parametrize("share", [0.02, 0.2])
def test_modes_are_orthogonal_and_weak(far: PtychoScan, kind: str, modes: int, share: float) -> None:
    probe = probe_of(far, modes=modes, mode_power=share, **KINDS[kind]).reshape(modes, -1).astype(complex)
    gram = probe.conj() @ probe.T
    powers = np.diag(gram).real
    np.testing.assert_allclose(powers[1:] / powers[0], share, rtol=1e-4)
    assert np.abs(gram - np.diag(powers)).max() < 1e-4 * powers[1]


def test_modes_of_the_file_come_first(far: PtychoScan) -> None:
    scan = replace(far, probe=given_probe(3))
    for count in (1, 2, 3):
        found = probe_of(scan, modes=count)
        assert all(alike(a, b) > 1 - 1e-6 for a, b in zip(found, scan.probe[:count], strict=True))
    found = probe_of(scan, modes=5)
    assert alike(found[:3], scan.probe) > 1 - 1e-6
    assert max(alike(found[i], found[3]) for i in range(3)) < 1  # and what is added is something else
    assert power(found[4]) == pytest.approx(0.2 * power(found[0]), rel=1e-4)


# A file's probe where less of the frames is used


def test_fewer_pixels_of_a_far_detector_are_larger_ones_of_the_probe(far: PtychoScan) -> None:
    y = (np.arange(N) - N // 2) * 1.0
    wide = np.exp(-((y[:, None] - 4) ** 2 + (y + 6) ** 2) / 200).astype(np.complex64)[None]
    found = begun(replace(far, probe=wide), {"size": 32})[1][0]
    half = (np.arange(32) - 16) * 2.0
    expected = np.exp(-((half[:, None] - 4) ** 2 + (half + 6) ** 2) / 200)
    assert alike(found, expected) > 1 - 1e-5


def test_larger_pixels_of_a_far_detector_are_a_smaller_window_of_the_probe(far: PtychoScan) -> None:
    probe = given_probe()
    assert alike(begun(replace(far, probe=probe), {"bin": 2})[1], probe[:, 16:48, 16:48]) > 1 - 1e-6


def test_a_near_detector_sees_the_probe_itself(near: PtychoScan) -> None:
    probe = given_probe()
    scan = replace(near, probe=probe)
    assert alike(begun(scan, {"size": 40})[1], probe[:, 12:52, 12:52]) > 1 - 1e-6
    y = (np.arange(32) - 16) * 2.0
    coarse = np.exp(-((y[:, None] - 3) ** 2 + (y + 2) ** 2) / 60 + 0.05j * y[:, None])
    assert alike(begun(scan, {"bin": 2})[1], coarse) > 1 - 1e-4


def test_whole_frames_take_the_probe_bit_by_bit(far: PtychoScan) -> None:
    probe = given_probe()
    found = probe_of(replace(far, probe=probe))
    factor = found[0, 30, 30] / probe[0, 30, 30]
    np.testing.assert_allclose(found, probe * factor, rtol=1e-6)


# What can't be


def test_no_probe_in_the_file(far: PtychoScan) -> None:
    with pytest.raises(InputError, match="holds no probe"):
        probe_of(far, probe="file")


@pytest.mark.parametrize(("kind", "needs"), [("pinhole", "start.diameter"), ("zone_plate", "start.outer_zone")])
def test_what_a_model_needs(far: PtychoScan, kind: str, needs: str) -> None:
    with pytest.raises(InputError) as refused:
        probe_of(far, probe=kind)
    assert needs in refused.value.hint


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("modes", [1, 3])
def test_an_empty_probe(far: PtychoScan, modes: int) -> None:
    with pytest.raises(InputError, match="probe is empty"):
        probe_of(replace(far, probe=np.zeros((1, N, N), np.complex64)), modes=modes)
