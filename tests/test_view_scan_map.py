from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.patches import Rectangle
from PIL import Image

from hpcdaas.view.figures import save
from hpcdaas.view.scan_map import scan_map
from ptycho_files import cxi_fields, opened, places, write


def test_views_lie_where_they_are(tmp_path: Path) -> None:
    scan = opened(write(tmp_path / "a.cxi", cxi_fields()))
    axes = scan_map(scan).axes[0]
    (dots,) = [part for part in axes.collections if isinstance(part, PathCollection)]
    drawn = np.asarray(dots.get_offsets())
    np.testing.assert_allclose(np.diff(drawn, axis=0), np.diff(places()[:, ::-1], axis=0) * 1e6, rtol=1e-6)
    (frame,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    height, width = np.array(scan.object_pixel) * scan.shape[1:] * 1e6
    assert (frame.get_height(), frame.get_width()) == pytest.approx((height, width))
    assert frame.get_center() == pytest.approx(tuple(drawn[0]))
    bottom, top = axes.get_ylim()
    assert bottom > top  # rows go down
    assert drawn.min() > 0
    assert "as stored" in axes.get_title(loc="left")


@pytest.mark.parametrize("orientation", ["auto", "-x+y"])
def test_what_decided_stands_above(tmp_path: Path, orientation: str) -> None:
    scan = opened(write(tmp_path / "a.cxi", cxi_fields()), position_orientation=orientation, focus_distance="3 mm")
    figure = scan_map(scan)
    expected = {"auto": "to be found", "-x+y": "-x+y, as asked"}[orientation]
    assert expected in figure.axes[0].get_title(loc="left")
    save(figure, tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as picture:
        assert min(picture.size) > 300


def test_one_line_of_views(tmp_path: Path) -> None:
    fields = cxi_fields()
    fields["entry_1/sample_1/geometry_1/translation"][:, 1] = 0
    save(scan_map(opened(write(tmp_path / "a.cxi", fields))), tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 1000
