"""Makes the record of a finished run."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from hpcdaas.catalog.metadata import clean, clean_key, entries, plain
from hpcdaas.catalog.record import (
    TECHNIQUES,
    Attachment,
    DataFile,
    DerivedDataset,
    OrigDatablock,
    RawDataset,
    Record,
)
from hpcdaas.catalog.software import used_software
from hpcdaas.direct import sha256
from hpcdaas.errors import InputError
from hpcdaas.params import units
from hpcdaas.recipe import all_steps
from hpcdaas.result import Raw, Result
from hpcdaas.run import pid
from hpcdaas.scan import ScanTable

#: SciCat takes larger blocks of files only slowly, and refuses documents of over 16 MB.
FILES_PER_BLOCK = 20_000

#: How much of a log goes into a record, characters from its end.
LOG_END = 50_000

#: What is in the picture of a result.
_PICTURES = {"tomography": "the middle slice", "ptychography": "phase of the object"}

#: Raw metadata that have a field of their own in a dataset.
_FIELDS = {
    "title": "description",
    "proposal": "proposalId",
    "owner": "owner",
    "owner_group": "ownerGroup",
    "contact_email": "contactEmail",
    "principal_investigator": "principalInvestigator",
    "instrument": "creationLocation",
    "sample_id": "sampleId",
    "start_time": "startTime",
    "end_time": "endTime",
}
_BEAMLINE = {"energy", "wavelength", "current", "source", "beamline", "monochromator"}
_DETECTOR = {"detector", "pixel_size", "x_pixel_size", "y_pixel_size", "exposure_time", "distance", "magnification"}


def make_record(
    result: Result, pid_prefix: str = "", thumbnail: bytes | None = None, log: str = "", timezone: tzinfo | None = None
) -> Record:
    """Make the record of a finished run.

    Reads the result once, for its checksums; of the raw files only sizes and times are taken,
    their content is told by the raw identity.

    Parameters
    ----------
    result : Result
        The run.
    pid_prefix : str
        The site's prefix of persistent identifiers.
    thumbnail : bytes, optional
        A PNG picture of the result.
    log : str
        What was said during the run; the end goes in.
    timezone : tzinfo, optional
        Of a raw file's times that say none. Default: this machine's.

    Returns
    -------
    Record

    Raises
    ------
    InputError
        If the result or a raw file can't be read.
    """
    raw, raw_blocks = make_raw(result.raw, pid_prefix, timezone)
    files = sorted(p for p in result.path.rglob("*") if p.is_file()) if result.path.is_dir() else [result.path]
    folder = result.path if result.path.is_dir() else result.path.parent
    return Record(
        run=result.run,
        raw=raw,
        derived=_derived(result, raw, folder, pid_prefix, log),
        raw_datablocks=raw_blocks,
        derived_datablocks=datablocks(files, folder),
        thumbnail=None
        if thumbnail is None
        else Attachment(
            caption=f"{_name(result.path.stem)}: {_PICTURES.get(result.raw.technique, 'the reconstruction')}",
            thumbnail="data:image/png;base64," + base64.b64encode(thumbnail).decode(),
        ),
    )


def make_raw(
    raw: Raw, pid_prefix: str = "", timezone: tzinfo | None = None
) -> tuple[RawDataset, tuple[OrigDatablock, ...]]:
    """Make the dataset of a raw scan and the list of its files; of these only sizes and times are taken.

    Raises
    ------
    InputError
        If a raw file can't be read.
    """
    return _raw(raw, pid_prefix, timezone), datablocks(raw.files, _common_folder(raw.files), checksums=False)


def _derived(result: Result, raw: RawDataset, folder: Path, prefix: str, log: str) -> DerivedDataset:
    recipe_name = str(result.recipe.get("name", ""))
    metadata_ = entries({"run": result.run, "shape": result.shape, **result.metrics})
    metadata_["reconstructionParameters"] = _parameters(result.recipe)
    return DerivedDataset(
        pid=pid(result.run, prefix),
        datasetName=_name(result.path.stem),
        description=f"Reconstruction of {raw.datasetName}" + (f" with the recipe {recipe_name}" if recipe_name else ""),
        owner=raw.owner,
        ownerGroup=raw.ownerGroup,
        contactEmail=raw.contactEmail,
        investigator=raw.principalInvestigator or raw.owner,
        proposalId=raw.proposalId,
        sourceFolder=_name(folder),
        creationTime=utc(result.ended),
        techniques=raw.techniques,
        inputDatasets=(raw.pid,),
        usedSoftware=(used_software(),),
        jobParameters=clean(plain(result.recipe)),
        jobLogData=log[-LOG_END:] or None,
        scientificMetadata=metadata_,
    )


def _raw(raw: Raw, prefix: str, timezone: tzinfo | None) -> RawDataset:
    fields: dict[str, str] = {}
    for key, name in _FIELDS.items():
        if isinstance(raw.metadata.get(key), str) and raw.metadata[key].strip():
            fields[name] = raw.metadata[key].strip()
    for name in ("startTime", "endTime"):
        if name in fields and (time := _raw_time(fields.pop(name), timezone)):
            fields[name] = time
    return RawDataset(
        pid=pid(raw.identity, prefix),
        datasetName=_name(raw.name),
        sourceFolder=_name(_common_folder(raw.files)),
        creationTime=fields.get("endTime") or fields.get("startTime") or _changed(raw.files[0]),
        dataFormat=raw.format,
        techniques=(TECHNIQUES[raw.technique],) if raw.technique in TECHNIQUES else (),
        scientificMetadata=_groups(raw),
        **fields,  # type: ignore[arg-type]
    )


def _groups(raw: Raw) -> dict[str, Any]:
    """Sort raw metadata into the groups that PSI's tomography beamline uses."""
    groups: dict[str, dict[str, Any]] = {"beamlineParameters": {}, "detectorParameters": {}, "scanParameters": {}}
    for key, value in raw.metadata.items():
        if key not in _FIELDS:
            group = "beamline" if key in _BEAMLINE else "detector" if key in _DETECTOR else "scan"
            groups[f"{group}Parameters"][key] = value
    groups["scanParameters"]["shape"] = raw.shape
    found = {name: entries(group) for name, group in groups.items() if group}
    return {"raw_identity": {"value": raw.identity, "unit": ""}, **found}


def _parameters(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Give a recipe's parameters as ``{step: {parameter: {value, unit}}}``, unset ones left out."""
    groups, known = {"scan": (recipe.get("scan", {}), units(ScanTable))}, all_steps()
    for step in recipe.get("step", ()):
        values = {key: value for key, value in step.items() if key not in ("use", "name")}
        model = known[step["use"]].parameters if step["use"] in known else None  # of a newer program's result
        groups[str(step.get("name", step["use"]))] = (values, units(model) if model else {})
    return {
        clean_key(name): entries({key: _with_unit(value, unit.get(key, "")) for key, value in values.items()})
        for name, (values, unit) in groups.items()
    }


def _with_unit(value: Any, unit: str) -> Any:
    """Give an entry, or None for a parameter that isn't set."""
    return None if value is None or value in ({}, [], ()) else {"value": value, "unit": unit}


def datablocks(files: Iterable[Path], folder: Path, checksums: bool = True) -> tuple[OrigDatablock, ...]:
    """List files in blocks of at most `FILES_PER_BLOCK`.

    Parameters
    ----------
    files : iterable of Path
        In `folder`; one elsewhere keeps its whole path.
    folder : Path
        The dataset's source folder.
    checksums : bool
        Whether to read the files for their SHA-256.

    Raises
    ------
    InputError
        If a file can't be read.
    """
    listed = [_data_file(path, folder, checksums) for path in files]
    return tuple(
        OrigDatablock(
            size=sum(file.size for file in block), chkAlg="sha256" if checksums else None, dataFileList=tuple(block)
        )
        for block in (listed[i : i + FILES_PER_BLOCK] for i in range(0, len(listed), FILES_PER_BLOCK))
    )


def _data_file(path: Path, folder: Path, checksum: bool) -> DataFile:
    try:
        status, digest = path.stat(), None
        if checksum:
            digest = sha256(path)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}.") from error
    name = path.relative_to(folder) if path.is_relative_to(folder) else path
    return DataFile(path=_name(name), size=status.st_size, time=utc(status.st_mtime), chk=digest)


def _name(name: str | Path) -> str:
    """Give a name from the file system as text that JSON can hold: it needn't be UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def _common_folder(files: tuple[Path, ...]) -> Path:
    """Give the deepest folder that holds all files."""
    return Path(os.path.commonpath([path.parent for path in files]))


def _changed(path: Path) -> str:
    try:
        return utc(path.stat().st_mtime)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}.") from error


def utc(time: datetime | float) -> str:
    """Write a time (a datetime, or seconds since 1970) as ISO 8601 in UTC, for example ``2026-03-01T12:00:00.000Z``."""
    moment = datetime.fromtimestamp(time, UTC) if isinstance(time, int | float) else time.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _raw_time(text: str, timezone: tzinfo | None) -> str | None:
    """Read a raw file's time; one without zone is in the one that is given. None where it can't be read."""
    try:
        time = datetime.fromisoformat(text)
        return utc(time if time.tzinfo else time.replace(tzinfo=timezone))
    except (ValueError, OverflowError):
        return None
