"""Says which program made a result: its name, its version, and where its source is."""

from __future__ import annotations

import json
from functools import cache
from importlib import metadata
from urllib.parse import urlsplit

#: Labels of a project's addresses that mean its source.
_SOURCE = ("source", "repository", "source code", "homepage")


@cache
def used_software(package: str = "hpcdaas") -> str:
    """Give name and version of a package, and the URL of its commit, or of its source where the commit isn't known.

    The commit is known of a package that was installed from a repository (``direct_url.json``, PEP 610).
    """
    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return f"{package} unknown"
    where = _commit(found.read_text("direct_url.json")) or _source(found.metadata.get_all("Project-URL") or [])
    return f"{package} {found.version} {where}".strip()


def _commit(direct: str | None) -> str:
    try:
        told = json.loads(direct or "{}")
        commit, url = str(told["vcs_info"]["commit_id"]), str(told["url"])
    except (ValueError, KeyError, TypeError):
        return ""
    address = _public(url)
    return f"{address.removesuffix('.git')}/tree/{commit}" if address else ""


def _source(listed: list[str]) -> str:
    named = {label.strip().lower(): url.strip() for label, _, url in (entry.partition(",") for entry in listed)}
    return next((_public(named[label]) for label in _SOURCE if label in named), "")


def _public(url: str) -> str:
    """Give the address of a web page without a login that it may hold; nothing for other kinds."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"
