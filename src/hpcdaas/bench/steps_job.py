"""The jobs of tomography's steps before a reconstruction: blocks of simulated scans, and a step's run over a copy."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.bench.rounds import Task, timed
from hpcdaas.step import Step
from hpcdaas.tomo import steps
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.phase import Phase, decay_length, reach
from hpcdaas.tomo.simulate import DARK, FLAT, PROJECTION, Simulation, SimulationParameters

#: How much the sample of the phase retrieval refracts for what it absorbs.
DELTA_BETA = 100.0


def make_block(rows: int, columns: int, angles: int) -> Block:
    """Simulate a scan and give its counts, with a dark, a flat before it and one after it."""
    simulation = Simulation(SimulationParameters(rows=rows, columns=columns, angles=angles, flats=1, darks=1))
    frames, key = np.concatenate(list(simulation.frames())), simulation.image_key
    flats = frames[key == FLAT]
    p = simulation.parameters
    return Block(
        frames[key == PROJECTION], np.deg2rad(simulation.angles), CpuBackend(), frames[key == DARK],
        [(0.0, flats[:1]), (float(angles), flats[1:])], first_projection=0, rows=np.arange(rows),
        pixel_size=p.pixel_size, energy=p.energy, distance=p.distance,
    )  # fmt: skip


def corrected(block: Block, *names: str) -> Block:
    """Give a block of float32, as it is after some steps with their defaults."""
    known, found = steps(), replace(block)
    for name in names:
        known[name].apply(found, known[name].parameters())
    found.values()
    return found


def margin(block: Block) -> int:
    """Give the columns that `phase` adds on either side of a block's projections, for `DELTA_BETA`."""
    return reach(decay_length(Phase(delta_beta=DELTA_BETA), block))


def step_task(block: Block, threads: int, step: Step, **parameters: float) -> Task:
    """Give what answers with the seconds of a step over all of a block's projections, whose data stay as they are."""
    backend = CpuBackend(threads)
    given = step.parameters(**parameters)

    def run() -> float:
        fresh = replace(block, data=block.data.copy(), backend=backend, flats=[], tally=Counter())
        return timed(lambda: step.apply(fresh, given))()

    return run
