"""The address of a SciCat backend."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from hpcdaas.errors import InputError


def base_url(url: str) -> str:
    """Check the address of a backend; with or without ``/api/v3`` at its end.

    Raises
    ------
    InputError
        If it holds a password, or isn't safe.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InputError("The catalogue's address can't be read.", "It looks so: https://scicat.example.org") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InputError(
            f"The address of the catalogue {host} holds more than an address.",
            "Logins come from a file or the environment: see 'hpcdaas catalog --help'.",
        )
    if not host or parts.scheme not in ("http", "https"):
        raise InputError(f"'{url}' is no address of a catalogue.", "It looks so: https://scicat.example.org")
    if parts.scheme == "http" and not _loopback(host):
        raise InputError(f"http:// would show the login to others on the way to {host}.", "Give https://...")
    path = parts.path.rstrip("/")
    for end in ("/v3", "/v4", "/api"):
        path = path.removesuffix(end).rstrip("/")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{path}"


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
