"""What an array of the device refuses, as CuPy's do."""

from __future__ import annotations

import numpy as np
import pytest
from host_device import HostDevice

HOST = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def there(compiler):
    return HostDevice(compiler).put(HOST)


def add_to_the_host(there):
    here = HOST.copy()
    here += there


def add_from_the_host(there):
    there += HOST


def assign_from_the_host(there):
    there[...] = HOST


def assign_to_the_host(there):
    HOST.copy()[...] = there


@pytest.mark.parametrize(
    "wrong",
    [
        add_to_the_host, add_from_the_host, assign_from_the_host, assign_to_the_host, lambda there: HOST * there,
        lambda there: there - HOST, lambda there: np.vdot(there, HOST), lambda there: there[np.array([0, 1])],
        np.asarray, np.ascontiguousarray, lambda there: np.array([there]), lambda there: np.float32(there[0, 0]),
        lambda there: np.linalg.norm(there), lambda there: there.max(initial=0), lambda there: np.add.reduce(there),
        lambda there: there.tofile("x"),
    ],
)  # fmt: skip
def test_what_leaves_the_device_unasked_is_refused(there, wrong):
    with pytest.raises((TypeError, AttributeError)):
        wrong(there)


def test_what_stays_is_as_on_the_host(there):
    other = np.zeros_like(there, shape=there.shape[1:], dtype=np.float32)
    other += np.float32(2) * there[1] - there.sum(axis=0) / np.float32(3)
    expected = np.float32(2) * HOST[1] - HOST.sum(axis=0) / np.float32(3)
    np.testing.assert_array_equal(other.get(), expected)
    assert float(np.vdot(there, there).real) == np.vdot(HOST, HOST)
    assert not isinstance(there.max(), np.generic)
    there[:, 1:] = there[:, :1] ** 2
    np.testing.assert_array_equal(there.get(), [[0, 0, 0], [3, 9, 9]])
