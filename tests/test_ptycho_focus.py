"""The distance from the focus is found where no first probe is given."""

from __future__ import annotations

import numpy as np
import pytest

from hpcdaas import ptycho
from hpcdaas.ptycho.focus import find_focus, reach
from hpcdaas.ptycho.geometry import make_geometry
from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
from ptycho_models import compare, iterate, make_model


def look(simulation):
    scan = simulation.scan()
    step = ptycho.steps()["frames"]
    cut = step.apply(scan, step.parameters())
    return scan, cut, make_geometry(scan, cut.n, cut.bin)


@pytest.mark.parametrize("defocus", ["300 um", "-200 um"])
def test_the_distance_is_found_with_its_sign(defocus):
    simulation = Simulation(SimulationParameters(defocus=defocus))
    scan, cut, geometry = look(simulation)
    found = find_focus(scan, cut, geometry, lambda z: make_model(scan, defocus=z), lambda: None)
    assert found.defocus == pytest.approx(simulation.parameters.defocus, abs=reach(scan, cut, geometry) / 16)
    model = make_model(scan, defocus=found.defocus)
    iterate(model, "lsqml", 40)
    assert compare(model, simulation).error < 0.05


def test_the_reach_is_where_the_cone_fills_the_window():
    """A zone plate's cone has the half angle λ/(2Δr): at z its diameter is zλ/Δr."""
    simulation = Simulation()
    farthest = reach(*look(simulation))
    p = simulation.parameters
    window = p.size * simulation.object_pixel
    cone = farthest * simulation.wavelength / p.outer_zone
    assert 0.7 * window < cone < 1.5 * window  # nine tenths of the light lie a little within the cone's edge


def test_it_can_be_stopped():
    simulation = Simulation(SimulationParameters(views=10))
    scan, cut, geometry = look(simulation)
    asked = []

    def stop():
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_focus(scan, cut, geometry, lambda z: make_model(scan, defocus=z), stop)
    assert np.sum(asked) == 3
