# ruff: noqa: N815  (the names are those of SciCat's documents)
"""The bodies of requests, with the validation of SciCat's own documents.

The v3 routes take raw and derived datasets with fields of their own, the v4 routes one kind with lists
of investigators, proposals, samples and instruments. Backends of generation v4 and v5 differ in the
form of `relationships`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hpcdaas.catalog.serve.fields import Body, Count, Emails, Metadata, Moment, Text


class Credentials(Body):
    """A login."""

    username: str
    password: str


class Technique(Body):
    """A technique: `pid` is a PaNET identifier."""

    pid: str
    name: str


class RelationshipV4(Body):
    """A relationship as backends of generation v4 take it."""

    pid: str
    relationship: str


class RelationshipV5(Body):
    """A relationship as backends of generation v5 take it."""

    identifier: str
    identifierType: str | None = None
    relationship: str | None = None
    entityType: str | None = None
    externalId: str | None = None


class Lifecycle(Body):
    """Where a dataset is on its way to the archive."""

    archivable: bool | None = None
    retrievable: bool | None = None
    publishable: bool | None = None
    isOnCentralDisk: bool | None = None
    dateOfDiskPurging: Moment | None = None
    dateOfPublishing: Moment | None = None
    publishedOn: Moment | None = None
    archiveRetentionTime: Moment | None = None
    archiveReturnMessage: dict[str, Any] | None = None
    archiveStatusMessage: str | None = None
    exportedTo: str | None = None
    retrieveIntegrityCheck: bool | None = None
    retrieveReturnMessage: dict[str, Any] | None = None
    retrieveStatusMessage: str | None = None
    storageLocation: str | None = None


class _Changeable(Body):
    """What all datasets may have and a change may alter; a PATCH gives some of it."""

    owner: str | None = None
    ownerEmail: Emails | None = None
    orcidOfOwner: str | None = None
    instrumentGroup: str | None = None
    accessGroups: list[str] | None = None
    isPublished: bool | None = None
    sourceFolderHost: str | None = None
    size: Count | None = None
    packedSize: Count | None = None
    numberOfFiles: Count | None = None
    numberOfFilesArchived: Count | None = None
    validationStatus: str | None = None
    description: str | None = None
    classification: str | None = None
    license: str | None = None
    keywords: list[str] | None = None
    sharedWith: list[str] | None = None
    techniques: list[Technique] | None = None
    relationships: list[RelationshipV5] | list[RelationshipV4] | None = None
    datasetlifecycle: Lifecycle | None = None
    scientificMetadata: Metadata | None = None
    scientificMetadataSchema: str | None = None
    scientificMetadataValid: bool | None = None
    comment: str | None = None
    dataQualityMetrics: float | None = None
    runNumber: str | None = None
    jobParameters: Metadata | None = None
    jobLogData: str | None = None


class _Common(_Changeable):
    ownerGroup: Text
    contactEmail: Emails
    sourceFolder: Text
    creationTime: Moment


class _DatasetV3(_Common):
    pid: Text | None = None
    owner: Text
    datasetName: Text | None = None
    proposalId: str | None = None
    version: str | None = None


class RawV3(_DatasetV3):
    """A raw dataset as `POST /api/v3/datasets` takes it."""

    type: Literal["raw"]
    principalInvestigator: Text
    creationLocation: Text
    dataFormat: str | None = None
    endTime: Moment | None = None
    startTime: Moment | None = None
    sampleId: str | None = None
    instrumentId: str | None = None
    investigator: str | None = None
    inputDatasets: list[str] | None = None
    usedSoftware: list[str] | None = None


class DerivedV3(_DatasetV3):
    """A derived dataset as `POST /api/v3/datasets` takes it."""

    type: Literal["derived"]
    investigator: Text
    inputDatasets: list[str]
    usedSoftware: list[str]


DatasetV3 = Annotated[RawV3 | DerivedV3, Field(discriminator="type")]


class DatasetV4(_Common):
    """A dataset as `POST /api/v4/datasets` takes it."""

    pid: Text | None = None
    datasetName: Text
    type: Literal["raw", "derived", "custom"]
    principalInvestigators: list[str] | None = None
    proposalIds: list[str] | None = None
    sampleIds: list[str] | None = None
    instrumentIds: list[str] | None = None
    creationLocation: str | None = None
    dataFormat: str | None = None
    startTime: Moment | None = None
    endTime: Moment | None = None
    inputDatasets: list[str] | None = None
    usedSoftware: list[str] | None = None


class _Change(_Changeable):
    ownerGroup: Text | None = None
    contactEmail: Emails | None = None
    sourceFolder: Text | None = None
    creationTime: Moment | None = None
    datasetName: Text | None = None
    creationLocation: str | None = None
    dataFormat: str | None = None
    startTime: Moment | None = None
    endTime: Moment | None = None
    inputDatasets: list[str] | None = None
    usedSoftware: list[str] | None = None


class ChangeV3(_Change):
    """What `PATCH /api/v3/datasets/{pid}` takes."""

    proposalId: str | None = None
    sampleId: str | None = None
    instrumentId: str | None = None
    investigator: str | None = None
    principalInvestigator: str | None = None


class ChangeV4(_Change):
    """What `PATCH /api/v4/datasets/{pid}` takes."""

    principalInvestigators: list[str] | None = None
    proposalIds: list[str] | None = None
    sampleIds: list[str] | None = None
    instrumentIds: list[str] | None = None


class DataFile(Body):
    """One file."""

    path: Text
    size: Count
    time: Moment
    chk: str | None = None
    uid: str | None = None
    gid: str | None = None
    perm: str | None = None
    type: str | None = None
    metadata: dict[str, Any] | None = None


class Block(Body):
    """Files of a dataset, as the nested v3 route takes them."""

    size: Count
    chkAlg: str | None = None
    isPublished: bool | None = None
    dataFileList: list[DataFile]


class BlockOf(Block):
    """Files of a dataset that is named in the body."""

    datasetId: Text
    ownerGroup: str | None = None
    accessGroups: list[str] | None = None
    instrumentGroup: str | None = None


class AttachmentV3(Body):
    """A picture of a dataset; `thumbnail` is a data URI."""

    ownerGroup: Text
    caption: str
    thumbnail: str | None = None
    id: Text | None = None
    accessGroups: list[str] | None = None
    instrumentGroup: str | None = None
    datasetId: str | None = None
    proposalId: str | None = None
    sampleId: str | None = None


class Target(Body):
    """What a picture belongs to."""

    targetId: str
    targetType: Literal["dataset", "proposal", "sample", "published_data"]
    relationType: str = "is attached to"


class AttachmentV4(Body):
    """A picture; `relationships` say of what."""

    ownerGroup: Text
    caption: str
    isPublished: bool
    aid: Text | None = None
    thumbnail: str | None = None
    accessGroups: list[str] | None = None
    instrumentGroup: str | None = None
    relationships: list[Target] | None = None


class JobDataset(Body):
    """A dataset that a job is about."""

    pid: str
    files: list[str]


class JobParameters(Body):
    """What a job is about."""

    model_config = Body.model_config | {"extra": "allow"}

    datasetList: list[JobDataset] = Field(min_length=1)


class Job(Body):
    """A job, such as to archive or to retrieve."""

    type: str
    jobParams: JobParameters
    ownerUser: str | None = None
    ownerGroup: str | None = None
    contactEmail: Emails | None = None


class JobChange(Body):
    """What became of a job."""

    statusCode: str
    statusMessage: str
    jobResultObject: dict[str, Any] | None = None
