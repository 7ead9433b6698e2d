"""What a user or a site says about a SciCat catalogue: how to log in, and whose the datasets are."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator

from hpcdaas.errors import InputError, nearest
from hpcdaas.params import Parameters

#: Begins the names of environment variables: ``HPCDAAS_CATALOG_OWNER_GROUP`` is `CatalogSettings.owner_group`.
VARIABLE = "HPCDAAS_CATALOG_"
#: Settings that nobody else may read.
SECRETS = ("token", "password")


@dataclass(frozen=True)
class Ownership:
    """Whose a dataset is: what a site's rule, or the user, says of a path.

    Attributes
    ----------
    owner_group : str
        The group that owns it. Never guessed.
    owner, contact_email : str or None
        A person and an address; ``a@x;b@y`` are two.
    access_groups : tuple of str
        Groups that may read it: that of the account that registers, too, if it is to read back.
    proposal : str or None
        The proposal.
    """

    owner_group: str
    owner: str | None = None
    contact_email: str | None = None
    access_groups: tuple[str, ...] = ()
    proposal: str | None = None


#: A site's rule: whose the scan at a path is, None where no rule is about it.
Rule = Callable[[Path], Ownership | None]


class CatalogSettings(Parameters):
    """How to talk to a SciCat catalogue.

    They come from ``$XDG_CONFIG_HOME/hpcdaas/catalog.toml`` (another file: ``HPCDAAS_CATALOG_FILE``), and
    from variables ``HPCDAAS_CATALOG_*``, which win.
    """

    catalog: str | None = Field(None, description="the login is for this catalogue and sent to no other")
    token: SecretStr | None = Field(None, description="a ready token")
    token_file: Path | None = Field(None, description="a file of mode 0600 with a ready token; read again when it ends")
    username: str | None = Field(None, description="account")
    password: SecretStr | None = Field(None, description="its password")
    ca_file: Path | None = Field(None, description="certificates of the site's authority; also SSL_CERT_FILE")
    prefix: str = Field("", description="of persistent identifiers, for example 20.500.12345/")
    owner: str | None = Field(None, description="person whose the datasets are")
    owner_group: str | None = Field(None, description="group whose the datasets are")
    access_groups: tuple[str, ...] = Field((), description="groups that may read them")
    contact_email: str | None = Field(None, description="address for questions; a@x;b@y are two")
    proposal: str | None = Field(None, description="proposal")
    register_raw: bool = Field(False, description="register the raw scan too, where the beamline has no ingestor")
    raw_pid: str | None = Field(
        None, description="pid that the beamline gives its scans: may use {proposal} {folder} {scan}"
    )

    @field_validator("access_groups", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """Take several groups from one variable."""
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    def ownership(self, path: Path) -> Ownership | None:
        """Give the user's own rule, the same for all paths; None where no group is set."""
        if not self.owner_group:
            return None
        return Ownership(self.owner_group, self.owner, self.contact_email, self.access_groups, self.proposal)


def load_settings() -> CatalogSettings:
    """Read the user's settings from file and environment.

    Returns
    -------
    CatalogSettings
        The defaults where nothing is said.

    Raises
    ------
    InputError
        If the file can't be read, holds something unknown, or holds a secret that others can read. The
        message never shows a value.
    """
    named = os.environ.get(f"{VARIABLE}FILE")
    path = Path(named) if named else _config_folder() / "catalog.toml"
    values = _from_file(path) if named or path.exists() else {}
    fields = CatalogSettings.model_fields
    for key in fields:
        if value := os.environ.get(VARIABLE + key.upper()):
            values[key] = value
    try:
        return CatalogSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        key = str(first["loc"][0]) if first["loc"] else "a value"
        if first["type"] == "extra_forbidden":
            raise InputError(f"The catalogue settings {path} know no '{key}'.", nearest(key, fields)) from None
        where = f"{VARIABLE}{key.upper()}" if VARIABLE + key.upper() in os.environ else f"{key} in {path}"
        raise InputError(f"The catalogue setting {where}: {first['msg']}.") from None


def _config_folder() -> Path:
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "-")
    return (config if config.is_absolute() else Path.home() / ".config") / "hpcdaas"


def _from_file(path: Path) -> dict[str, Any]:
    text, mode = _read(path)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # the parser's message may show a part of the line
        raise InputError(f"The catalogue settings {path} are no TOML.", "Lines look so: key = 'value'") from error
    if any(values.get(name) for name in SECRETS):
        _refuse_readable(path, mode)
    return values


def read_secret(path: Path) -> SecretStr:
    """Read a file that holds one secret.

    Raises
    ------
    InputError
        If it can't be read, is empty, or others can read it.
    """
    text, mode = _read(path)
    _refuse_readable(path, mode)
    if not text.strip():
        raise InputError(f"{path} is empty.", "Put the token into it.")
    return SecretStr(text.strip())


def _read(path: Path) -> tuple[str, int]:
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            return file.read(), os.fstat(file.fileno()).st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"{path} can't be read: {reason}.") from None


def _refuse_readable(path: Path, mode: int) -> None:
    if stat.S_IMODE(mode) & 0o077:
        raise InputError(f"Others can read {path}, which holds a secret.", f"chmod 600 {path}")
