"""The connection to a SciCat backend: logs in, waits and asks again where that helps, and keeps the token to itself."""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
import stamina
from pydantic import SecretStr

from hpcdaas.catalog.address import base_url
from hpcdaas.catalog.outcome import NotYet, Uncertain, Unreachable
from hpcdaas.catalog.settings import CatalogSettings
from hpcdaas.catalog.token import Credentials, Token
from hpcdaas.errors import InputError

#: Seconds for a connection, and for an answer: a block of 20,000 files keeps a server busy for some.
CONNECT, ANSWER = 5.0, 120.0
#: How long to go on asking where the server is away or busy, seconds.
PATIENCE = 60.0


@dataclass(frozen=True)
class Answer:
    """What the server says: status, and the JSON of the body (None where it holds none)."""

    status: int
    content: Any = None

    @property
    def good(self) -> bool:
        """Whether it did what was asked for."""
        return 200 <= self.status < 300

    @property
    def reason(self) -> str:
        """What the server says is wrong, one line."""
        said = self.content.get("message") if isinstance(self.content, Mapping) else self.content
        words = "; ".join(map(str, said)) if isinstance(said, list) else str(said or "no reason given")
        return " ".join(words.split())[:300]


class Trace(Protocol):
    """Told of each try of a request: what was sent and never answered may have been done or not."""

    def sent(self) -> None:
        """Say that it is about to go out."""
        ...

    def answered(self, status: int) -> None:
        """Say that the server has decided."""
        ...


class _Busy(Exception):
    """Ask again: after `wait` seconds where the server says so."""

    def __init__(self, status: int, wait: float | None) -> None:
        self.status, self.wait = status, wait


class Connection:
    """Requests to one backend.

    Parameters
    ----------
    url : str
        Its address; ``http://`` for loopback only.
    settings : CatalogSettings
        How to log in.
    patience : float
        Seconds in which a request is asked again where the server is away or busy.

    Raises
    ------
    InputError
        If the address can't be used, or the settings are for another one.
    """

    def __init__(self, url: str, settings: CatalogSettings, patience: float = PATIENCE) -> None:
        self.url, self.patience = base_url(url), patience
        mine = settings.catalog is None or base_url(settings.catalog) == self.url
        self._credentials = Credentials(settings if mine else CatalogSettings())
        self._skew = 0.0
        # what it would print of every second try is said once, at the end, by the error
        logging.getLogger("stamina").addHandler(logging.NullHandler())
        secure = self.url.startswith("https")
        self._client = httpx.Client(
            base_url=self.url,
            # a plain connection is to this machine: no certificates to load, no proxy to ask
            verify=_certificates(settings.ca_file) if secure else False,
            trust_env=secure,
            timeout=httpx.Timeout(ANSWER, connect=CONNECT),
            headers={"Accept": "application/json"},
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @property
    def logged_in(self) -> bool:
        """Whether there is a login for this catalogue."""
        return self._credentials.given

    def now(self) -> float:
        """Give the server's time, seconds since 1970: what it says of its tokens and datasets is measured by it."""
        return time.time() + self._skew

    def get(self, path: str, **parameters: str) -> Answer:
        """Read; asked again as long as patience lasts.

        Raises
        ------
        Unreachable
            If no answer came.
        """
        return self._request("GET", path, parameters, None, again=True)

    def post(self, path: str, body: Any, *, again: bool, trace: Trace | None = None) -> Answer:
        """Write.

        Parameters
        ----------
        path : str
            The route.
        body : Any
            What becomes JSON.
        again : bool
            Whether a second post does no harm.
        trace : Trace, optional
            Told of each try.

        Raises
        ------
        Uncertain
            If `again` is false and the server may have done it or not.
        Unreachable
            If it can't be reached, and has done nothing that matters.
        """
        return self._request("POST", path, {}, body, again=again, trace=trace)

    def _request(
        self, method: str, path: str, parameters: Mapping[str, str], body: Any, *, again: bool,
        trace: Trace | None = None,
    ) -> Answer:  # fmt: skip
        end = time.monotonic() + self.patience

        def wait(error: Exception) -> bool | float:
            """Say whether, or after which time, to ask again."""
            if isinstance(error, _Busy):
                safe = again or error.status == 429
                if error.wait is not None:
                    return error.wait if safe and time.monotonic() + error.wait < end else False
                return safe
            return isinstance(error, httpx.TransportError) and not _untrusted(error) and (again or _not_sent(error))

        with self._explained(again):
            for attempt in stamina.retry_context(
                on=wait, attempts=None, timeout=self.patience, wait_max=10.0, wait_jitter=0.3
            ):
                with attempt:
                    return self._authorized(method, path, parameters, body, trace)
        raise AssertionError  # the loop ends by an answer or an error

    def _authorized(
        self, method: str, path: str, parameters: Mapping[str, str], body: Any, trace: Trace | None
    ) -> Answer:
        """Ask with a good token; with another one where it ended meanwhile."""
        token = self._credentials.token(self.now(), self._login)
        response = self._send(method, path, parameters, body, token, trace)
        if token and _not_taken(response, token.expired(self.now())):
            renewed = self._credentials.renew(token, self.now(), self._login)
            if renewed:
                response = self._send(method, path, parameters, body, renewed, trace)
        return _answer(response)

    def _send(
        self, method: str, path: str, parameters: Mapping[str, str], body: Any, token: Token | None,
        trace: Trace | None = None,
    ) -> httpx.Response:  # fmt: skip
        headers = {"Authorization": f"Bearer {token.secret.get_secret_value()}"} if token else {}
        if trace:
            trace.sent()
        response = self._client.request(method, path, params=dict(parameters) or None, json=body, headers=headers)
        if trace and response.status_code < 500:
            trace.answered(response.status_code)
        self._read_clock(response)
        if response.status_code == 429 or response.status_code >= 500:
            raise _Busy(response.status_code, _retry_after(response))
        if response.is_redirect:
            raise InputError(f"{self.url} answers with another address.", "Give the address of the backend itself.")
        return response

    def _login(self, username: str, password: SecretStr) -> SecretStr | None:
        body = {"username": username, "password": password.get_secret_value()}
        answer = _answer(self._send("POST", "/api/v3/auth/login", {}, body, None))
        if answer.status == 404:
            raise InputError(f"There is no SciCat backend at {self.url}.", "Give the address of the backend.")
        found = answer.content.get("access_token") if answer.good and isinstance(answer.content, Mapping) else None
        if not isinstance(found, str):
            raise NotYet(f"{self.url} refuses the login of '{username}': {answer.reason}.", "Check the password.")
        return SecretStr(found)

    def _read_clock(self, response: httpx.Response) -> None:
        try:
            said = parsedate_to_datetime(response.headers["date"]).timestamp()
        except (KeyError, ValueError):
            return
        skew = said - time.time()
        self._skew = skew if abs(skew) > 2 else 0.0  # it says whole seconds

    @contextmanager
    def _explained(self, again: bool) -> Iterator[None]:
        """Say what is wrong in one line, without what was sent."""
        try:
            yield
        except _Busy as error:
            kind = Unreachable if again or error.status == 429 else Uncertain
            raise kind(f"The catalogue {self.url} answers {error.status}.", "Try again later.") from None
        except httpx.TransportError as error:
            if _untrusted(error):
                raise Unreachable(
                    f"The certificate of {self.url} isn't trusted: {_last_words(error)}.",
                    "Name the certificates of your site's authority: SSL_CERT_FILE, or ca_file in the settings.",
                ) from None
            kind = Unreachable if again or _not_sent(error) else Uncertain
            raise kind(
                f"The catalogue {self.url} can't be reached: {_last_words(error)}.", "Try again later."
            ) from None
        except httpx.HTTPError as error:
            raise Unreachable(f"The catalogue {self.url}: {type(error).__name__}.", "Try again later.") from None


def _certificates(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return httpx.create_ssl_context()  # SSL_CERT_FILE and SSL_CERT_DIR, else the usual authorities
    try:
        return ssl.create_default_context(cafile=os.fspath(ca_file.expanduser()))
    except (OSError, ssl.SSLError):
        raise InputError(f"{ca_file} holds no certificates that can be read.", "See to ca_file.") from None


def _not_taken(response: httpx.Response, expired: bool) -> bool:
    """Say whether a token wasn't taken.

    Some backends take an expired one for a guest's request, and answer a write with 403, and a read with less than
    there is.
    """
    status, read = response.status_code, response.request.method == "GET"
    return status == 401 or (expired and (status == 403 or read))


def _answer(response: httpx.Response) -> Answer:
    try:
        content = response.json() if response.content else None
    except ValueError:
        content = response.text[:300] if not response.is_success else None
    return Answer(response.status_code, content)


def _retry_after(response: httpx.Response) -> float | None:
    """Read how long the server asks to wait (RFC 9110, 10.2.3): seconds, or a date."""
    said = response.headers.get("retry-after", "").strip()
    if said.isdigit():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time()) if said else None
    except ValueError:
        return None


def _not_sent(error: httpx.TransportError) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def _untrusted(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _last_words(error: httpx.TransportError) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
