"""Phase retrieval against its formula and against the propagation that it undoes."""

import numpy as np
import pytest
from scipy import integrate, special

from hpcdaas.errors import InputError
from hpcdaas.tomo.minus_log import MinusLog, minus_log
from hpcdaas.tomo.phase import STEP, Phase, decay_length, phase, reach
from tomo_blocks import make_block

GEOMETRY = {"pixel_size": 1e-6, "energy": 20e3, "distance": 0.05}
PHASE = Phase(delta_beta=200)


def test_length_from_the_constants() -> None:
    block = make_block(np.ones((1, 1, 4)), **GEOMETRY)
    wavelength = 6.62607015e-34 * 299792458 / (20e3 * 1.602176634e-19)
    mu_over_delta = 4 * np.pi / (wavelength * 200)
    assert decay_length(PHASE, block) == pytest.approx(np.sqrt(0.05 / mu_over_delta) / 1e-6)


def test_waves_are_damped_by_the_formula() -> None:
    """A wave goes through with 1 / (1 + πλz(δ/β)f²), far from the edges."""
    length = decay_length(PHASE, make_block(np.ones((1, 1, 4)), **GEOMETRY))
    margin = reach(length)
    rows, columns = 8 + 2 * margin, 90 + 2 * margin
    y, x = np.mgrid[:rows, :columns]
    for fy, fx in ((0.0, 0.03), (0.05, 0.0), (0.02, -0.11), (0.25, 0.25)):
        wave = np.cos(2 * np.pi * (fy * y + fx * x) + 0.3)
        block = make_block((1 + 0.2 * wave).astype(np.float32)[None], halo=margin, **GEOMETRY)
        phase(block, PHASE)
        expected = 1 + 0.2 * wave / (1 + (2 * np.pi * length) ** 2 * (fx**2 + fy**2))
        inner = (slice(margin, -margin), slice(margin, -margin))
        np.testing.assert_allclose(block.data[0][inner], expected[inner], atol=3e-6)


@pytest.mark.parametrize("length", [0.3, 1.0, 5.0])
def test_rows_beyond_the_halo_do_not_matter(length: float) -> None:
    geometry = {**GEOMETRY, "distance": GEOMETRY["distance"] * length**2}
    unit = decay_length(PHASE, make_block(np.ones((1, 1, 4)), **GEOMETRY))
    geometry["pixel_size"] = 1e-6 * unit
    rng = np.random.default_rng(0)
    margin = reach(length)
    base = rng.uniform(0.3, 1, (2, 6 + 4 * margin, 40)).astype(np.float32)
    results = []
    for extra in (0, margin):
        cut = base[:, margin - extra : base.shape[1] - margin + extra].copy()
        block = make_block(cut, halo=margin + extra, **geometry)
        assert STEP.halo(PHASE, block) == margin
        phase(block, PHASE)
        results.append(block.data[:, margin + extra : margin + extra + 6])
    np.testing.assert_allclose(results[0], results[1], atol=2e-5)  # white noise is the worst case


def test_kernel_is_the_modified_bessel_function() -> None:
    """A point becomes K0(r/L) / 2πL², and along one axis exp(−|y|/L) / 2L, as `reach` says."""
    line, _ = integrate.quad(lambda y: special.k0(np.hypot(y, 3.0)) / (2 * np.pi), -np.inf, np.inf)
    assert line == pytest.approx(np.exp(-3.0) / 2, rel=1e-6)
    length = decay_length(PHASE, make_block(np.ones((1, 1, 4)), **GEOMETRY))
    margin = reach(length)
    point = np.zeros((1, 2 * margin + 1, 2 * margin + 1), np.float32)
    point[0, margin, margin] = 1
    block = make_block(point, halo=margin, **GEOMETRY)
    phase(block, PHASE)
    r = np.arange(6, 20)
    expected = special.k0(r / length) / (2 * np.pi * length**2)
    np.testing.assert_allclose(block.data[0, margin, margin + r], expected, rtol=0.02)


def test_homogeneous_sample_is_recovered() -> None:
    """Contact image → transport of intensity, linear in z, for one material → Paganin gives it back."""
    length = decay_length(PHASE, make_block(np.ones((1, 1, 4)), **GEOMETRY))
    margin = reach(length)
    n = 64 + 2 * margin
    y, x = np.mgrid[:n, :n] - n / 2
    contact = np.exp(-0.5 * np.exp(-(x**2 + y**2) / (2 * 6.0**2)))
    # I(z) = (1 − zδ/μ ∇²) contact, with the laplacian of the closed form
    g = 0.5 * np.exp(-(x**2 + y**2) / (2 * 6.0**2))
    r2 = x**2 + y**2
    laplace = contact * (g**2 * r2 / 6.0**4 - g * (r2 / 6.0**4 - 2 / 6.0**2))
    block = make_block((contact - length**2 * laplace).astype(np.float32)[None], halo=margin, **GEOMETRY)
    phase(block, PHASE)
    inner = slice(margin, margin + 64)
    np.testing.assert_allclose(block.data[0, inner, inner], contact[inner, inner], atol=1e-5)


def test_refused() -> None:
    for key, option in (("energy", "scan.energy"), ("distance", "scan.distance"), ("pixel_size", "scan.pixel_size")):
        block = make_block(np.ones((1, 1, 4)), **{**GEOMETRY, key: None})
        with pytest.raises(InputError, match=option):
            phase(block, PHASE)
        with pytest.raises(InputError, match=option):
            STEP.halo(PHASE, block)
    block = make_block(np.ones((1, 1, 4)), **GEOMETRY)
    minus_log(block, MinusLog())
    with pytest.raises(InputError, match="minus_log"):
        phase(block, PHASE)
