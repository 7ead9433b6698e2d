"""Filters against their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdaas.errors import InputError
from hpcdaas.tomo.filters import padded_length, response


def smooth_numbers(limit: int) -> list[int]:
    """All even 2^a 3^b 5^c 7^d up to a limit, by building them up."""
    numbers = {1}
    for prime in (2, 3, 5, 7):
        grown = set(numbers)
        for number in numbers:
            while number * prime <= limit:
                number *= prime
                grown.add(number)
        numbers = grown
    return sorted(n for n in numbers if n % 2 == 0)


@given(st.integers(1, 3000), st.floats(1, 4))
def test_padded_length_is_the_smallest_smooth_even_one(columns: int, padding: float) -> None:
    expected = next(n for n in smooth_numbers(20000) if n >= padding * columns)
    assert padded_length(columns, padding) == expected


@pytest.mark.parametrize("columns", [1, 2, 7, 33, 640])
def test_ramp_is_the_transform_of_its_samples(columns: int) -> None:
    padded = padded_length(columns, 2)
    n = np.arange(-padded // 2, padded // 2)
    h = np.zeros(padded)
    h[n % 2 == 1] = -1 / (np.pi * n[n % 2 == 1]) ** 2
    h[n == 0] = 0.25
    k = np.arange(padded // 2 + 1)
    direct = (h * np.exp(-2j * np.pi * np.outer(k, n) / padded)).sum(axis=1)
    np.testing.assert_allclose(direct.imag, 0, atol=1e-12)
    np.testing.assert_allclose(response("ramp", columns, 2), direct.real, atol=1e-13)


def test_windows_at_known_frequencies() -> None:
    ramp = response("ramp", 64, 2)
    half, full = len(ramp) // 2, len(ramp) - 1  # a quarter and half a cycle per pixel
    expected = {
        "shepp": (np.sin(np.pi / 4) / (np.pi / 4), 2 / np.pi),
        "hann": (0.5, 0.0),
        "cosine": (np.sqrt(0.5), 0.0),
        "parzen": (0.25, 0.0),
    }
    for name, (middle, end) in expected.items():
        window = response(name, 64, 2) / ramp
        assert window[0] == pytest.approx(1)
        assert window[half] == pytest.approx(middle)
        assert window[full] == pytest.approx(end, abs=1e-12)


def test_ramp_approaches_absolute_frequency() -> None:
    h = response("ramp", 1024, 2)
    f = np.arange(len(h)) / (2 * (len(h) - 1))
    np.testing.assert_allclose(h, f, atol=1e-3)
    assert h[0] > 0  # |f| would lose the mean


def test_unknown_filter_names_the_nearest() -> None:
    with pytest.raises(InputError, match="hann"):
        response("hamn", 64, 2)
