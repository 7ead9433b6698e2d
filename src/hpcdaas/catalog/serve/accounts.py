"""The accounts of a served catalogue: a file that only its owner reads, with hashed passwords."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpcdaas.errors import InputError

#: scrypt's cost, block size and parallelism: 16 MiB and 50 ms for one password.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1

Role = Literal["admin", "ingestor", "user"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Account(_Strict):
    """An account.

    Attributes
    ----------
    role : str
        ``user``: datasets of its groups; ``ingestor``: creates for every group and may choose the pid,
        reads only what its groups may; ``admin``: everything.
    groups : tuple of str
    email : str
    password : str
        Hashed, see `hashed`.
    """

    role: Role = "user"
    groups: tuple[str, ...] = ()
    email: str = ""
    password: str


class Accounts(_Strict):
    """The content of an accounts file.

    Attributes
    ----------
    secret : str
        What tokens are signed with. Who has it can make tokens for every account.
    token_life : int
        Seconds that a token lives.
    accounts : dict
        By name.
    """

    secret: str = Field(default_factory=lambda: secrets.token_hex(32), min_length=32, repr=False)
    token_life: int = Field(3600, ge=1, le=366 * 24 * 3600)
    accounts: dict[str, Account] = Field(default_factory=dict)

    def checked(self, name: str, password: str) -> Account | None:
        """Give the account if name and password are right."""
        account = self.accounts.get(name)
        # an unknown name takes as long as a wrong password
        right = _matches(password, account.password if account else _NOBODY)
        return account if account and right else None


def hashed(password: str) -> str:
    """Hash a password: ``scrypt:cost:block:parallel:salt:hash``."""
    salt = secrets.token_hex(16)
    return f"scrypt:{_COST}:{_BLOCK}:{_PARALLEL}:{salt}:{_scrypt(password, salt, _COST, _BLOCK, _PARALLEL)}"


def read_accounts(path: Path) -> Accounts:
    """Read an accounts file.

    Raises
    ------
    InputError
        If it can't be read, others may read it, or it isn't what it should be.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = file.read()
    except OSError as error:
        raise InputError(f"The accounts {path} can't be read: {error.strerror or error}.") from error
    if mode & 0o077:
        raise InputError(f"Others may read the accounts {path} (mode {mode:04o}).", f"chmod 600 '{path}'")
    try:
        return Accounts.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} is no file of accounts: {where + ': ' if where else ''}{first['msg']}.") from None


def write_accounts(accounts: Accounts, path: Path) -> None:
    """Write an accounts file with mode 0600, whole or not at all.

    Raises
    ------
    InputError
        If it can't be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_text(accounts.model_dump_json(indent=1) + "\n")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"The accounts {path} can't be written: {error.strerror or error}.") from error


def _scrypt(password: str, salt: str, cost: int, block: int, parallel: int) -> str:
    given = password.encode(errors="surrogatepass")
    return hashlib.scrypt(given, salt=salt.encode(), n=cost, r=block, p=parallel, dklen=32).hex()


def _matches(password: str, stored: str) -> bool:
    try:
        kind, cost, block, parallel, salt, known = stored.split(":")
        if kind != "scrypt":
            return False
        found = _scrypt(password, salt, int(cost), int(block), int(parallel))
    except ValueError:  # a line that was edited by hand
        return False
    return hmac.compare_digest(found, known)


_NOBODY = f"scrypt:{_COST}:{_BLOCK}:{_PARALLEL}:nobody:nothing"
