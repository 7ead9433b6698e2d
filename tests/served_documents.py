"""Bodies for a served catalogue, each of them valid as it is."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

TIME = "2026-03-01T12:00:00.000Z"

_COMMON = {
    "owner": "A. Owner",
    "ownerGroup": "p1",
    "contactEmail": "a@example.org;b@example.org",
    "sourceFolder": "/data/p1",
    "creationTime": TIME,
}


def derived(**changes: Any) -> dict[str, Any]:
    """A derived dataset for `POST /api/v3/datasets`; None takes a field out."""
    fields = {"type": "derived", "investigator": "I", "inputDatasets": ["x/raw"], "usedSoftware": ["hpcdaas"]}
    return _body(_COMMON | fields | {"datasetName": "tooth"}, changes)


def raw(**changes: Any) -> dict[str, Any]:
    """A raw dataset for `POST /api/v3/datasets`."""
    fields = {"type": "raw", "principalInvestigator": "P", "creationLocation": "/X/Y", "datasetName": "tooth"}
    return _body(_COMMON | fields, changes)


def v4(**changes: Any) -> dict[str, Any]:
    """A dataset for `POST /api/v4/datasets`."""
    fields = {
        "type": "derived",
        "datasetName": "tooth",
        "principalInvestigators": ["P", "Q"],
        "proposalIds": ["1", "2"],
    }
    return _body(_COMMON | fields | {"inputDatasets": ["x/raw"], "usedSoftware": ["hpcdaas"]}, changes)


def block(files: int = 1, size: int = 5, **changes: Any) -> dict[str, Any]:
    """A block of files of `size` bytes each."""
    listed = [{"path": f"f{i:06d}.h5", "size": size, "time": TIME} for i in range(files)]
    return _body({"size": size * files, "chkAlg": "sha256", "dataFileList": listed}, changes)


def png(value: int = 128) -> str:
    """A picture of one pixel as a data URI."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    image = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes([0, value])))
    return "data:image/png;base64," + base64.b64encode(image + chunk(b"IEND", b"")).decode()


def _body(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in (fields | changes).items() if value is not None}
