"""What a ptychography run found, and how its result file says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hpcdaas.io.ptycho_result import ObjectPart, PtychoDescription
from hpcdaas.ptycho.frames import Cut
from hpcdaas.ptycho.frc import RingCorrelation
from hpcdaas.ptycho.model import Model
from hpcdaas.scan import PtychoScan


@dataclass(frozen=True)
class Outcome:
    """What a run found.

    Attributes
    ----------
    model : Model
        Object and probe.
    frc : RingCorrelation or None
    numbers : mapping
        For the result and the catalogue: numbers, strings, or {"value", "unit"}.
    curves : mapping
        Numbers per iteration, by name.
    parts : list of str
        Names of the steps that the curve ``part`` counts.
    """

    model: Model
    frc: RingCorrelation | None
    numbers: dict[str, Any]
    curves: dict[str, NDArray[Any]]
    parts: list[str]

    def metrics(self) -> dict[str, Any]:
        """Numbers for the result and the catalogue."""
        return self.numbers

    def description(
        self, scan: PtychoScan, cut: Cut, process: Mapping[str, Any], seconds: Mapping[str, float]
    ) -> PtychoDescription:
        """Say what the result file holds.

        Parameters
        ----------
        scan : PtychoScan
        cut : Cut
            What was used of the frames.
        process : mapping
            Text and numbers of ``/entry/process``.
        seconds : mapping
            Wall time of each stage.
        """
        model = self.model
        timed = {f"seconds_{name}": {"value": value, "unit": "s"} for name, value in seconds.items()}
        return PtychoDescription(
            process=process,
            shape=(len(model.object), *model.geometry.shape),
            probe=model.views.get(model.probe),
            pixel=model.geometry.pixel,
            positions=model.geometry.positions,
            curves=self.curves,
            parts=self.parts,
            quality=self.numbers | timed,
            mean_frame=cut.mean,
            good=cut.good,
            frc=self.frc,
            title=str(scan.metadata.get("title", "")),
            sample=str(scan.metadata.get("sample", "")),
        )

    def part(self) -> ObjectPart:
        """Give the pixels of the object that this rank writes."""
        model, tile = self.model, self.model.tile
        object_, light = model.views.get(tile.counted(model.object)), tile.counted(model.illumination())
        return ObjectPart(tile.owned.top, tile.owned.left, object_, light)
