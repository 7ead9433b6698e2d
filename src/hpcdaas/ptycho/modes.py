"""Modes of a probe in their natural order."""

from __future__ import annotations

import numpy as np

from hpcdaas.backend.views import Complex64


def orthogonal(probe: Complex64) -> Complex64:
    """Turn modes into orthogonal ones of falling power that make the same frames.

    Frames are blind to a unitary mixing of the modes; the eigenvectors of their Gram matrix make them orthogonal:
    P. Thibault, A. Menzel, Nature 494, 68 (2013).

    Parameters
    ----------
    probe : ndarray, (mode, y, x), complex64

    Returns
    -------
    ndarray, (mode, y, x), complex64
    """
    flat = probe.reshape(len(probe), -1).astype(np.complex128)
    _, vectors = np.linalg.eigh(flat.conj() @ flat.T)
    mixed = vectors.T[::-1] @ flat
    # the phase of an eigenvector means nothing: the strongest mode keeps that of the first, the others their own
    for one in mixed:
        reference = flat[int(np.argmax(np.abs(flat @ one.conj())))]
        turn = np.vdot(one, reference)
        one *= turn / abs(turn) if abs(turn) > 0 else 1.0
    return mixed.reshape(probe.shape).astype(np.complex64)
