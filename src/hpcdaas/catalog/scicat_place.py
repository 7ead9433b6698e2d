"""Puts one dataset into SciCat, once: whatever breaks on the way, the same call goes on where it stopped.

The dataset comes first, under a pid that follows from its identity, so that a second post is refused as a
duplicate. Picture and files have no such guard: what is there is listed, and only what is missing is posted, the
files last. A dataset with all its files is whole.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import stamina

from hpcdaas.catalog import scicat_bodies as bodies
from hpcdaas.catalog.journal import Journal, digest
from hpcdaas.catalog.outcome import NotYet, Refused, Uncertain, Unreachable
from hpcdaas.catalog.record import Attachment, OrigDatablock
from hpcdaas.catalog.scicat_files import Listed, listed, missing
from hpcdaas.catalog.scicat_http import Answer, Connection
from hpcdaas.catalog.scicat_wanted import Wanted, value_of

_LOG = logging.getLogger(__name__)

#: Seconds after which a dataset that somebody else began, and left without its files, is completed by us.
TAKEN_OVER = 120.0
#: How often a picture is tried that the server fails on.
PICTURE_TRIES = 4
#: Seconds between two looks whether the server has stored what it never answered.
PAUSE = 0.1


class _Growing(NotYet):
    """Somebody else is at it."""


@dataclass
class Placer:
    """Places datasets in one backend, and remembers how it wants to be spoken to.

    Attributes
    ----------
    http : Connection
    dialect : Dialect
        As learned from its answers.
    chooses : bool
        Whether the account may choose pids, as far as is known.
    """

    http: Connection
    dialect: bodies.Dialect = field(default_factory=bodies.Dialect)
    chooses: bool = True

    def place(self, wanted: Wanted, journal: Journal) -> str:
        """Make the dataset with picture and files, or what is missing of it.

        Returns
        -------
        str
            Its pid.

        Raises
        ------
        NotYet
            If the catalogue is away, or somebody else is at it.
        Refused
            If it doesn't take the dataset, or what is there can't be told to be ours.
        """
        pid, fresh, ours = self._dataset(wanted, journal)
        route = f"/api/v3/datasets/{quote(pid, safe='')}"
        there: Listed = {} if fresh else self._begun(route, pid, wanted, ours)
        if there is not None and not any(missing(block, there, pid) for block in wanted.files) and wanted.files:
            return pid
        if wanted.picture:
            self._try_picture(route, wanted.picture, wanted.owned, journal, fresh)
        for block in wanted.files:
            self._files(route, pid, block, journal, there)
        return pid

    def _tries(
        self, *errors: type[Exception], most: int | None = None
    ) -> Iterator[tuple[int, AbstractContextManager[Any]]]:
        """Give numbered tries, as long as patience lasts, or so many at most."""
        yield from enumerate(stamina.retry_context(
            on=errors, attempts=most, timeout=self.http.patience, wait_max=2.0, wait_jitter=0.3))  # fmt: skip

    # the dataset itself: its pid, whether it is new, whether it is ours

    def _dataset(self, wanted: Wanted, journal: Journal) -> tuple[str, bool, bool]:
        pid = wanted.dataset.pid
        if self.chooses:
            facts = {"pid": pid, "hash": wanted.digest}
            answer = self._post(wanted, pid, journal, facts)
            if answer.good:
                return pid, True, True
            if answer.status == 409:
                return pid, False, self._there(wanted, journal.ours("dataset", **facts))
            if answer.status != 403:
                raise self._refused(answer, wanted)
            self.chooses = False
        return self._unnamed(wanted, journal)

    def _there(self, wanted: Wanted, ours: bool) -> bool:
        """Compare what has our pid with what we have; say whether we posted it."""
        pid = wanted.dataset.pid
        answer = self.http.get(f"/api/v3/datasets/{quote(pid, safe='')}")
        if not answer.good or not isinstance(answer.content, Mapping):
            if ours:
                return True
            raise Refused(
                f"The catalogue has a dataset {pid} already, may not show it ({answer.status}), and nothing here says "
                "that it is ours.",
                "Let the account read it (access_groups), or ask the catalogue's operator.",
            )
        key, value = wanted.identity
        found = value_of(answer.content.get("scientificMetadata"), key)
        if found != value:
            raise Refused(f"The catalogue's dataset {pid} is another one: its {key} is {found or 'not given'}.")
        return ours

    def _unnamed(self, wanted: Wanted, journal: Journal) -> tuple[str, bool, bool]:
        """Find or make the dataset of an account that may not choose pids."""
        what = {"identity": wanted.identity[1], "hash": wanted.digest}
        for tried, attempt in self._tries(Uncertain):
            with attempt:
                if found := self._looked(tried, lambda: self.find(wanted.identity)):
                    return found, False, journal.find("named", "stored", pid=found) is not None or tried > 0
                answer = self._post(wanted, None, journal, what)
        if not answer.good:
            raise self._refused(answer, wanted)
        pid = str(answer.content["pid"])
        journal.note("named", "stored", pid=pid)
        return pid, True, True

    def find(self, identity: tuple[str, str]) -> str | None:
        """Look for a dataset by an identity in its metadata.

        Raises
        ------
        Refused
            If there are several.
        """
        key, value = identity
        wanted = {"where": {f"scientificMetadata.{key}.value": value}, "limits": {"limit": 3}}
        found = self.http.get("/api/v3/datasets", filter=json.dumps(wanted)).content
        pids = [str(d["pid"]) for d in found or () if value_of(d.get("scientificMetadata"), key) == value]
        if len(pids) > 1:
            raise Refused(f"The catalogue has several datasets with {key} {value[:8]}: {', '.join(pids)}.", "Keep one.")
        return pids[0] if pids else None

    def _post(self, wanted: Wanted, pid: str | None, journal: Journal, facts: Mapping[str, str]) -> Answer:
        """Post the dataset; in another dialect where the backend doesn't know this one."""
        while True:
            body = self.dialect.body(wanted.dataset, wanted.owned, pid, wanted.log)
            if (weight := len(json.dumps(body))) > bodies.LARGEST_BODY:
                raise Refused(f"The dataset's metadata have {weight / 1e6:.0f} MB, a catalogue takes 16.")
            trace = journal.trace("dataset", **facts)
            answer = self.http.post(self.dialect.route, body, again=pid is not None, trace=trace)
            if answer.status == 404 and self.dialect.v4:
                self.dialect = self.dialect.without_v4()
            elif answer.status == 400 and self.dialect.related != "pid" and "relationships" in answer.reason:
                self.dialect = self.dialect.older()
            else:
                return answer

    def _refused(self, answer: Answer, wanted: Wanted) -> NotYet | Refused:
        url, group = self.http.url, wanted.owned.owner_group
        if answer.status == 401 or (answer.status == 403 and not self.http.logged_in):
            return NotYet(
                f"The catalogue {url} wants a login: {answer.reason}.",
                "Put a token, or username and password, into the settings; see 'hpcdaas catalog --help'.",
            )
        if answer.status == 403:
            return Refused(f"The account may not register datasets of the group '{group}' in {url}: {answer.reason}.")
        if answer.status == 404:
            return Refused(f"There is no SciCat backend at {url}.", "Give the address of the backend.")
        return Refused(f"The catalogue {url} refuses the dataset ({answer.status}): {answer.reason}.")

    # picture and files

    def _looked(self, tried: int, look: Callable[[], Any]) -> Any:
        """Look whether it is there: the more often the longer an answer is missing, for the server may be at it yet."""
        found = look()
        for _ in range(tried):
            if found:
                break
            time.sleep(PAUSE)
            found = look()
        return found

    def _begun(self, route: str, pid: str, wanted: Wanted, ours: bool) -> Listed:
        """List the files of a dataset that is there; let somebody else finish it who is at it."""
        for _, attempt in self._tries(_Growing):
            with attempt:
                there = listed(self.http, route, pid)
                whole = there is not None and not any(missing(block, there, pid) for block in wanted.files)
                if not ours and not whole:
                    self._wait_for_others(route)
        return there

    def _wait_for_others(self, route: str) -> None:
        """Let somebody else finish; one that hasn't for long has died."""
        answer = self.http.get(route)
        changed = str((answer.content or {}).get("updatedAt", "")) if answer.good else ""
        try:
            age = self.http.now() - datetime.fromisoformat(changed).timestamp()
        except ValueError:
            age = TAKEN_OVER
        if age < TAKEN_OVER:
            raise _Growing("Another process is registering this dataset.", "It goes on by itself.")

    def _try_picture(
        self, route: str, wanted: Attachment, owned: bodies.Whose, journal: Journal, fresh: bool
    ) -> None:  # fmt: skip
        """Post the picture; a dataset without it is whole all the same, and so what is wrong is only said."""
        try:
            weight = len(wanted.thumbnail)
            if weight > bodies.LARGEST_PICTURE:
                wrong = f"it has {weight / 1000:.0f} kB, at most {bodies.LARGEST_PICTURE / 1000:.0f} are taken"
            else:
                wrong = self._picture(route, wanted, owned, journal, fresh)
        except Unreachable as error:  # a server that is away tells the files
            wrong = error.message.rstrip(".")
        if wrong:
            _LOG.warning("The picture '%s' isn't in the catalogue: %s.", wanted.caption, wrong)

    def _picture(self, route: str, wanted: Attachment, owned: bodies.Whose, journal: Journal, fresh: bool) -> str:
        """Post the picture, or say why the server doesn't take it."""
        body = bodies.picture(wanted.caption, wanted.thumbnail, owned)
        facts = {"route": route, "hash": digest(body)}

        def there() -> bool:
            answer = self.http.get(f"{route}/attachments")
            if not (answer.good and isinstance(answer.content, list)):
                return journal.ours("picture", **facts)
            return any(entry.get("caption") == body["caption"] for entry in answer.content)

        for tried, attempt in self._tries(Uncertain, most=PICTURE_TRIES):
            with attempt:
                if (tried or not fresh) and self._looked(tried, there):
                    return ""
                trace = journal.trace("picture", **facts)
                answer = self.http.post(f"{route}/attachments", body, again=False, trace=trace)
        return "" if answer.good else f"{answer.reason} ({answer.status})"

    def _files(self, route: str, pid: str, block: OrigDatablock, journal: Journal, there: Listed) -> None:
        for tried, attempt in self._tries(Uncertain):
            with attempt:
                for _ in range(tried):
                    time.sleep(PAUSE)
                    there = listed(self.http, route, pid)
                for body in bodies.blocks(missing(block, there or {}, pid), block.chkAlg):
                    self._block(route, pid, body, journal, readable=there is not None)

    def _block(self, route: str, pid: str, body: Mapping[str, Any], journal: Journal, readable: bool) -> None:
        facts = {"pid": pid, "hash": digest(body)}
        if not readable:
            if journal.find("files", "stored", **facts):
                return
            if journal.uncertain("files", **facts):
                raise Refused(
                    f"Files of {pid} were sent to the catalogue, which never answered and may not show them.",
                    "Let the account read the dataset (access_groups), or ask the catalogue's operator.",
                )
        trace = journal.trace("files", **facts)
        answer = self.http.post(f"{route}/origdatablocks", body, again=False, trace=trace)
        if not answer.good:
            raise Refused(f"The catalogue refuses the files of {pid} ({answer.status}): {answer.reason}.")
