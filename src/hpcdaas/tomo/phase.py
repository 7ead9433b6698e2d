"""Single-distance phase retrieval for a sample of one material."""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.errors import InputError
from hpcdaas.params import Parameters
from hpcdaas.scan import Scan
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.threads import each

#: Planck's constant times the speed of light, eV m (both exact in the SI).
HC = 1.239841984e-6
#: What the rows beyond the halo may still add to a row, relative to their own size.
TRUNCATION = 1e-6
#: Pixels that are filtered at once, by all threads together.
AT_ONCE = 1 << 22


class Phase(Parameters):
    """Parameters of `phase`."""

    delta_beta: float = Field(
        gt=0, description="δ/β of the sample: how much it refracts for what it absorbs, 10 to 3000"
    )


def phase(block: Block, parameters: Phase) -> None:
    """Retrieve the absorption alone from transmission with fringes (Paganin), before the logarithm.

    D. Paganin et al., J. Microsc. 206, 33 (2002), equation 10: for a sample of one material in a
    parallel beam, the transmission that absorption alone would give is the measured one divided,
    in Fourier space, by 1 + (z δ/μ) k². With μ = 4πβ/λ and k = 2πf this is
    1 + π λ z (δ/β) f², f in cycles per metre. Minus logarithm then gives μ times thickness.

    Parameters
    ----------
    block : Block
        Becomes filtered transmission. Its halo must be that of `halo`.
    parameters : Phase

    Raises
    ------
    InputError
        If energy, distance or pixel size isn't known, or the logarithm was taken before.
    """
    if block.pending is not None and block.pending.log:
        raise InputError("Step 'phase' stands after 'minus_log'.", "Put it before: it works on transmission.")
    length = decay_length(parameters, block)
    margin = reach(length)
    data = block.values()
    rows, columns = data.shape[1:]
    # rows bring their margin with them as the halo, columns get it here
    shape = (scipy.fft.next_fast_len(rows, real=True), scipy.fft.next_fast_len(columns + 2 * margin, real=True))
    fy, fx = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    response = (1 / (1 + (2 * np.pi * length) ** 2 * (fy[:, None] ** 2 + fx**2))).astype(np.float32)
    left = (shape[1] - columns) // 2
    width = ((0, 0), (0, shape[0] - rows), (left, shape[1] - columns - left))
    threads = max(1, min(block.backend.threads, AT_ONCE // (shape[0] * shape[1])))
    batch = max(1, AT_ONCE // (threads * shape[0] * shape[1]))

    def filter_some(start: int) -> None:
        part: NDArray[np.float32] = np.pad(data[start : start + batch], width, mode="edge")
        filtered = scipy.fft.irfft2(scipy.fft.rfft2(part) * response, s=shape)
        data[start : start + batch] = filtered[:, :rows, left : left + columns]

    each(filter_some, range(0, len(data), batch), threads)


def decay_length(parameters: Phase, geometry: Scan | Block) -> float:
    """Give L in pixels, L² = z δ/μ = λ z (δ/β) / 4π: the filter is 1 / (1 + L² k²).

    Raises
    ------
    InputError
        If energy, distance or pixel size isn't known.
    """
    wavelength = HC / _known(geometry, "energy", "25 keV")
    distance, pixel_size = _known(geometry, "distance", "50 mm"), _known(geometry, "pixel_size", "0.65 um")
    return math.sqrt(wavelength * distance * parameters.delta_beta / (4 * math.pi)) / pixel_size


def _known(geometry: Scan | Block, key: str, example: str) -> float:
    value: float | None = getattr(geometry, key)
    if value is None:
        raise InputError(
            f"Step 'phase' needs the {key.replace('_', ' ')}, and the file doesn't say it.",
            f'Give it with -s scan.{key}="{example}".',
        )
    return value


def reach(length: float) -> int:
    """Give the rows after which the filter's kernel is spent.

    Along one axis the kernel of 1 / (1 + L² k²) is exp(−|y|/L) / 2L, and what lies beyond d adds
    exp(−d/L) / 2 of its size: d = −L ln(2 `TRUNCATION`). On pixels the response also has a kink
    at the highest frequency, π, where its slope jumps by J = 4πL² / (1 + π²L²)²; that makes a
    second tail of alternating sign, J / 2πd², whose sum beyond d is at most half its first
    member: d = √(J / 4π `TRUNCATION`). The second matters for L of a few pixels only.

    Parameters
    ----------
    length : float
        L in pixels.

    Returns
    -------
    int
        Rows.
    """
    jump = 4 * math.pi * length**2 / (1 + (math.pi * length) ** 2) ** 2
    return math.ceil(max(-length * math.log(2 * TRUNCATION), math.sqrt(jump / (4 * math.pi * TRUNCATION))))


def halo(parameters: Phase, scan: Scan) -> int:
    """Give the rows that a row needs above and below."""
    return reach(decay_length(parameters, scan))


STEP = Step(name="phase", apply=phase, parameters=Phase, axis=Axis.PROJECTION, place=30, halo=halo)
