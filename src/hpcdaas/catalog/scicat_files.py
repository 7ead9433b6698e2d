"""The files that SciCat lists of a dataset, and what is missing of ours."""

from __future__ import annotations

from collections.abc import Mapping

from hpcdaas.catalog.outcome import Refused
from hpcdaas.catalog.record import DataFile, OrigDatablock
from hpcdaas.catalog.scicat_http import Connection

#: Files of a dataset by their path; None where they may not be read.
Listed = dict[str, DataFile] | None


def listed(http: Connection, route: str, pid: str) -> Listed:
    """List the files that a dataset has; None where they may not be read.

    Parameters
    ----------
    http : Connection
    route : str
        Of the dataset.
    pid : str
        For the messages.

    Raises
    ------
    Refused
        If a file is listed twice.
    """
    answer = http.get(f"{route}/origdatablocks")
    if not answer.good or not isinstance(answer.content, list):
        return None
    found: dict[str, DataFile] = {}
    for block in answer.content:
        for entry in block["dataFileList"]:
            file = DataFile(path=entry["path"], size=entry["size"], time=entry["time"], chk=entry.get("chk"))
            if file.path in found:
                raise Refused(f"The catalogue lists {file.path} twice in {pid}.", "Its operator can remove a block.")
            found[file.path] = file
    return found


def missing(block: OrigDatablock, there: Mapping[str, DataFile], pid: str) -> list[DataFile]:
    """Give the files of a block that aren't there.

    Raises
    ------
    Refused
        If there is another file of this name.
    """
    found = []
    for file in block.dataFileList:
        known = there.get(file.path)
        if known is None:
            found.append(file)
        elif known.size != file.size or (known.chk and file.chk and known.chk != file.chk):
            raise Refused(
                f"The catalogue has another {file.path} in {pid}: the result was made again since.",
                "Remove that dataset from the catalogue, or reconstruct into another result.",
            )
    return found
