"""How ranks reach each other's GPUs: by NCCL, or by an MPI that takes their arrays, tried in a process of its own."""

from __future__ import annotations

import importlib.util

import pytest

from hpcdaas.backend import get_backend
from hpcdaas.parallel import Serial
from hpcdaas.parallel.on_device import TRIAL, reach_devices, takes_device_arrays
from ranks import Launcher

# MPI and an array that says that it lies on a GPU, and lies where `address` says.
CLAIMED = """
import numpy
from mpi4py import MPI
class Claimed:
    def __init__(self, address):
        self.__cuda_array_interface__ = {{
            "shape": (1 << 18,), "typestr": "<f4", "data": (address, False), "strides": None, "version": 3
        }}
memory = numpy.arange(1 << 18, dtype="f4")
others = memory + 1
there = numpy.zeros_like(memory)
MPI.COMM_SELF.Sendrecv(Claimed({address}), 0, recvbuf=Claimed(there.ctypes.data), source=0)
assert (there == memory).all()
"""


def test_arrays_that_mpi_can_reach_are_taken():
    assert takes_device_arrays(CLAIMED.format(address="memory.ctypes.data"))


def test_an_address_that_mpi_cannot_read_ends_the_trial_and_nothing_else():
    assert not takes_device_arrays(CLAIMED.format(address="4096"))


def test_numbers_that_come_otherwise_are_no_success():
    assert not takes_device_arrays(CLAIMED.format(address="others.ctypes.data"))


def test_the_trial_is_no_rank_of_a_launcher(monkeypatch):
    for name in ("PMI_RANK", "OMPI_COMM_WORLD_SIZE", "SLURM_PROCID", "PMIX_RANK"):
        monkeypatch.setenv(name, "3")
    assert takes_device_arrays(
        "import os; assert not [n for n in os.environ if n.startswith(('PMI', 'OMPI', 'SLURM'))]"
    )


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is here")
def test_without_cupy_nothing_is_taken():
    assert not takes_device_arrays(TRIAL)


def test_ranks_of_processors_try_nothing():
    comm = Serial()
    reach_devices(comm, get_backend("cpu").gpu)
    assert comm.links is None


JOIN = """
import socket, sys
from hpcdaas.errors import HpcdaasError
from hpcdaas.parallel import world
from hpcdaas.parallel.on_device import join

class Gpu:
    def __init__(self, place):
        self.place, self.nccl = place, place is not None
    def ticket(self):
        return f"by rank {comm.rank}"
    def join(self, size, rank, ticket):
        if self.place == "broken":
            raise HpcdaasError("broken on purpose.", "Mend it.")
        return f"{rank} of {size} {ticket}"

comm = world()
try:
    found = join(comm, Gpu(eval(sys.argv[1])[comm.rank]))
except HpcdaasError as error:
    found = error.message.replace(socket.gethostname(), "HOST")
told = comm.gather(found)
if comm.rank == 0:
    print(told)
"""


@pytest.mark.parametrize(
    ("gpus", "found"),
    [
        (("a", "b"), ["0 of 2 by rank 0", "1 of 2 by rank 0"]),
        (("a", "a"), [None, None]),  # two ranks on one GPU
        (("a", None), [None, None]),
        (("a", "broken"), ["Rank 1 on HOST: broken on purpose."] * 2),
    ],
)
def test_ranks_are_joined_where_each_has_a_gpu_of_its_own(tmp_path, gpus, found):
    ended = Launcher(tmp_path).run(2, str(gpus), script=JOIN)
    assert ended.code == 0, ended.err
    assert ended.out.strip() == str(found)
