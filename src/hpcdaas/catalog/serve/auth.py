"""Who is asking: logins, tokens, and what each role may do."""

from __future__ import annotations

import getpass
import json
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import BoundedSemaphore
from typing import Any, Literal

import jwt
from fastapi import Request

from hpcdaas.catalog.serve.accounts import Account, Accounts, Role
from hpcdaas.catalog.serve.refusal import Refusal

Generation = Literal["v4", "v5"]

#: The web pages keep the token here.
COOKIE = "hpcdaas_token"

#: How many passwords are checked at once: their memory must stay small whoever knocks.
_CHECKS = 4


@dataclass(frozen=True)
class User:
    """Who is asking; one without a name is anonymous and sees what is published."""

    name: str
    role: Role | Literal["anonymous"]
    groups: tuple[str, ...] = ()
    email: str = ""

    @property
    def known(self) -> bool:
        """Whether this is an account."""
        return self.role != "anonymous"

    def may_choose_pid(self) -> bool:
        """Say whether a dataset of this user may come with a pid."""
        return self.role in ("admin", "ingestor")

    def may_create(self, group: str | None) -> bool:
        """Say whether this user may create a dataset of a group."""
        return self.role in ("admin", "ingestor") or group in self.groups

    def may_read(self, row: sqlite3.Row) -> bool:
        """Say whether this user may read a dataset."""
        if self.role == "admin" or row["published"]:
            return True
        return not {row["owner_group"], *json.loads(row["access"])}.isdisjoint(self.groups)

    def may_change(self, row: sqlite3.Row) -> bool:
        """Say whether this user may change a dataset: an ingestor may not, also what it made."""
        return self.role == "admin" or (self.role == "user" and row["owner_group"] in self.groups)

    def may_add(self, row: sqlite3.Row) -> bool:
        """Say whether this user may add files and pictures to a dataset by the nested v3 routes."""
        return self.role == "ingestor" or self.may_change(row)

    def visible(self) -> tuple[str, list[Any]]:
        """Give the SQL condition on `dataset` for what this user may read, and its values."""
        if self.role == "admin":
            return "1", []
        if not self.groups:
            return "dataset.published", []
        groups = json.dumps(self.groups)
        return (
            "(dataset.published OR dataset.owner_group IN (SELECT value FROM json_each(?))"
            " OR EXISTS (SELECT 1 FROM json_each(dataset.access) WHERE value IN (SELECT value FROM json_each(?))))",
            [groups, groups],
        )


ANONYMOUS = User("", "anonymous")


class Gate:
    """Lets users in.

    Parameters
    ----------
    accounts : Accounts or None
        None: there is one user, who may do everything. For loopback only.
    generation : str
        Whose answers to give: v4 takes a bad token for none, v5 refuses it.
    """

    def __init__(self, accounts: Accounts | None, generation: Generation) -> None:
        self._accounts = accounts
        self.generation = generation
        self._at_once = BoundedSemaphore(_CHECKS)

    @property
    def open(self) -> bool:
        """Whether there are no accounts."""
        return self._accounts is None

    def login(self, name: str, password: str) -> dict[str, Any]:
        """Give what SciCat answers to a login.

        Raises
        ------
        Refusal
            401 if name or password is wrong.
        """
        if self._accounts is None:
            raise Refusal(401, "Unauthorized")
        with self._at_once:
            account = self._accounts.checked(name, password)
        if account is None:
            raise Refusal(401, "Unauthorized")
        life, issued = self._accounts.token_life, int(time.time())
        token = jwt.encode({"sub": name, "iat": issued, "exp": issued + life}, self._accounts.secret, "HS256")
        return {
            "access_token": token,
            "id": token,
            "expires_in": life,
            "ttl": life,
            "created": datetime.fromtimestamp(issued, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "userId": name,
            "user": profile(_user(name, account)),
        }

    def user(self, request: Request) -> User:
        """Say who sends a request, by its Bearer token.

        Raises
        ------
        Refusal
            401 if the token is bad (generation v5; v4 takes it for none).
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if self._accounts is None:
            return User(getpass.getuser(), "admin")
        if kind.lower() != "bearer" or not token:  # a browser that follows a page's link has the cookie
            return self.visitor(request) if request.method == "GET" else ANONYMOUS
        user = self._of(token.strip(), self._accounts)
        if not user.known and self.generation == "v5":
            raise Refusal(401, "Unauthorized")
        return user

    def visitor(self, request: Request) -> User:
        """Say who looks at a page, by the cookie."""
        if self._accounts is None:
            return User(getpass.getuser(), "admin")
        return self._of(request.cookies.get(COOKIE, ""), self._accounts)

    def known(self, user: User) -> User:
        """Give the user back if it is an account.

        Raises
        ------
        Refusal
            For an anonymous one: 403 (generation v4) or 401 (v5).
        """
        if not user.known:
            raise Refusal(403, "Forbidden resource") if self.generation == "v4" else Refusal(401, "Unauthorized")
        return user

    @staticmethod
    def _of(token: str, accounts: Accounts) -> User:
        try:
            claims = jwt.decode(token, accounts.secret, ["HS256"], options={"require": ["exp", "sub"]})
        except (jwt.InvalidTokenError, ValueError):
            return ANONYMOUS
        account = accounts.accounts.get(claims["sub"])
        return _user(claims["sub"], account) if account else ANONYMOUS


def profile(user: User) -> dict[str, Any]:
    """Give what SciCat tells about a user."""
    return {
        "id": user.name,
        "username": user.name,
        "email": user.email,
        "emailVerified": False,
        "realm": "localhost",
        "authStrategy": "local",
    }


def _user(name: str, account: Account) -> User:
    return User(name, account.role, account.groups, account.email)
