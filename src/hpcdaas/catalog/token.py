"""The bearer token of a catalogue: where it comes from, and when it ends."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from hpcdaas.catalog.settings import CatalogSettings, read_secret

#: A token is renewed so many seconds before it ends; one that lives shortly, at a fifth of its life.
MARGIN = 60.0


@dataclass(frozen=True)
class Token:
    """A token whose text is never shown.

    Attributes
    ----------
    secret : SecretStr
        What goes into the header.
    expires : float or None
        Seconds since 1970, by the server's clock; None where it doesn't say.
    margin : float
        How long before that it is to be renewed, seconds.
    """

    secret: SecretStr
    expires: float | None = None
    margin: float = MARGIN

    @classmethod
    def of(cls, secret: SecretStr) -> Token:
        """Read when a token ends, from the payload of a JSON web token (RFC 7519); its signature is the server's."""
        payload = _payload(secret.get_secret_value())
        expires, issued = payload.get("exp"), payload.get("iat")
        if not isinstance(expires, int | float):
            return cls(secret)
        life = expires - issued if isinstance(issued, int | float) else 5 * MARGIN
        return cls(secret, float(expires), max(0.0, min(MARGIN, life / 5)))

    def ends(self, now: float) -> bool:
        """Say whether it is time for another one."""
        return self.expires is not None and now >= self.expires - self.margin

    def expired(self, now: float) -> bool:
        """Say whether the server takes it no more."""
        return self.expires is not None and now >= self.expires


def _payload(text: str) -> dict[str, Any]:
    parts = text.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}


#: Asks the server: account and password in, the token out; None where it refuses them.
Login = Callable[[str, SecretStr], SecretStr | None]


class Credentials:
    """Gives tokens from what the settings say: a ready one, a file that somebody renews, or an account.

    Parameters
    ----------
    settings : CatalogSettings
        Where they come from. Nothing is read before the first token is asked for.
    """

    def __init__(self, settings: CatalogSettings) -> None:
        self._settings = settings
        self._token: Token | None = None

    @property
    def given(self) -> bool:
        """Whether there is anything to log in with."""
        s = self._settings
        return bool(s.token or s.token_file or (s.username and s.password))

    def token(self, now: float, login: Login) -> Token | None:
        """Give a token that is good for the next request; None where there is none."""
        if self._token is None or self._token.ends(now):
            self._token = self._next(now, login)
        return self._token

    def renew(self, refused: Token, now: float, login: Login) -> Token | None:
        """Give another token than the one that was refused; None where there is no other."""
        if self._token is None or self._token.secret == refused.secret:
            self._token = self._next(now, login, refused)
        return self._token

    def _next(self, now: float, login: Login, refused: Token | None = None) -> Token | None:
        last: Token | None = None
        settings = self._settings
        for secret in (settings.token, read_secret(settings.token_file) if settings.token_file else None):
            found = Token.of(secret) if secret else None
            if found and not (refused and found.secret == refused.secret):
                if not found.expired(now):
                    return found
                last = found  # the server says of an expired one what is wrong
        if settings.username and settings.password:
            secret = login(settings.username, settings.password)
            return Token.of(secret) if secret else None
        return None if refused else last
