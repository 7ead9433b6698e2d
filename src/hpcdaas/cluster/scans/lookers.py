"""Files are opened by a few processes of their own: an open that never returns stalls none but its own."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hpcdaas.cluster.scans.child import Child, LostError, wait_for
from hpcdaas.errors import HpcdaasError

#: Processes that hang in the kernel and are left behind, at most: then nothing new is asked until one ends.
STUCK = 16
#: Starts that may fail one after the other.
STARTS = 3
#: How often a question is asked whose process died: it may have been killed for no fault of its own.
TRIES = 2


@dataclass(frozen=True)
class Hung:
    """The answer in place of one that didn't come in time.

    Attributes
    ----------
    reason : str
        One line.
    """

    reason: str


@dataclass
class _Question:
    key: Hashable
    arguments: tuple[Any, ...]
    tries: int = 0


class Lookers:
    """Some processes that call a function, each with a time limit. Not to be used by several threads at once.

    A process that doesn't answer in time is killed and replaced. One that can't be killed, since the
    kernel waits for a dead file system, is left behind: until it ends, questions about the same file
    system are answered at once with `Hung`, and so they cost no more processes.

    Parameters
    ----------
    function : callable
        Of a module; found by its name in the processes, which import it once.
    workers : int, optional
        How many, at most.
    timeout : float, optional
        Seconds for an answer.
    """

    def __init__(self, function: Callable[..., Any], workers: int = 2, timeout: float = 30.0) -> None:
        self._function, self._workers, self._timeout = function, workers, timeout
        self._children: list[Child] = []
        self._stuck: list[tuple[Child, str]] = []
        self._asked: dict[Child, _Question] = {}
        self._queue: deque[_Question] = deque()
        self._answers: deque[tuple[Hashable, Any]] = deque()
        self._keys: set[Hashable] = set()
        self._failed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def busy(self) -> frozenset[Hashable]:
        """Keys of questions whose answers weren't given yet."""
        return frozenset(self._keys)

    @property
    def processes(self) -> tuple[int, ...]:
        """Numbers of the processes, those left behind too."""
        return tuple(child.process.pid for child in [*self._children, *(child for child, _ in self._stuck)])

    def ask(self, key: Hashable, *arguments: Any) -> None:
        """Ask for ``function(*arguments)``; a key that is asked already isn't asked twice. Never blocks."""
        if key not in self._keys:
            self._keys.add(key)
            self._queue.append(_Question(key, arguments))
            self._hand_out()

    def answers(self, wait: float = 0.0) -> list[tuple[Hashable, Any]]:
        """Give (key, answer) of what has come in.

        Parameters
        ----------
        wait : float, optional
            Seconds to sleep for the first answer.

        Returns
        -------
        list of (key, answer)
            The answer is what the function gave, an exception that it raised, or `Hung`.

        Raises
        ------
        HpcdaasError
            If the processes don't start.
        """
        until = time.monotonic() + wait
        while True:
            self._round()
            left = until - time.monotonic()
            if self._answers or left <= 0 or not self._keys:
                break
            wait_for(self._children, min(left, 0.25))  # short: a time limit may end meanwhile
        found = list(self._answers)
        self._answers.clear()
        self._keys -= {key for key, _ in found}
        return found

    def close(self) -> None:
        """End all processes. What the kernel holds ends by itself, as soon as its file system answers."""
        for child in self._children:
            child.kill()
        for child in [*self._children, *(child for child, _ in self._stuck)]:
            child.gone(wait=1.0)
        self._children, self._stuck, self._asked = [], [], {}
        self._queue.clear()
        self._keys.clear()

    def _round(self) -> None:
        self._stuck = [(child, place) for child, place in self._stuck if not child.gone()]
        for child in list(self._children):
            try:
                while (answer := child.answer()) is not None:
                    value, error = answer
                    self._answers.append((self._asked.pop(child).key, value if error is None else error))
                if child.ready:
                    self._failed = 0
                if child.late(self._timeout):
                    self._give_up(child)
            except LostError as error:
                self._lost(child, error)
        self._hand_out()

    def _give_up(self, child: Child) -> None:
        """Leave a process that doesn't answer."""
        question = self._asked.pop(child, None)
        self._children.remove(child)
        child.kill()
        if question is not None:
            self._answers.append((question.key, Hung(f"no answer within {self._timeout:g} s")))
        if not child.gone(wait=0.05):
            self._stuck.append((child, _mount(question.arguments) if question else ""))

    def _lost(self, child: Child, error: LostError) -> None:
        """Replace a process that ended, and ask its question once more."""
        question = self._asked.pop(child, None)
        self._children.remove(child)
        started = child.ready
        child.kill()
        child.gone(wait=1.0)
        if not started:
            self._failed += 1
            if self._failed >= STARTS:
                raise HpcdaasError(f"The processes that open files don't start: {error.message}")
        elif question is not None:
            question.tries += 1
        if question is None:
            return
        if question.tries >= TRIES:
            self._answers.append((question.key, LostError(f"Opening it ended its process {TRIES} times.")))
        else:
            self._queue.appendleft(question)

    def _hand_out(self) -> None:
        """Give questions to those who have none, and start processes where more are needed."""
        places = {place for _, place in self._stuck if place}
        while self._queue and len(self._stuck) < STUCK:
            if places and _mount(self._queue[0].arguments) in places:
                self._answers.append((self._queue.popleft().key, Hung("its file system doesn't answer")))
                continue
            child = next((child for child in self._children if not child.busy), None)
            if child is None:
                if len(self._children) >= self._workers:
                    return
                child = Child(self._function)
                self._children.append(child)
            question = self._queue.popleft()
            self._asked[child] = question
            child.ask(*question.arguments)


def _mount(arguments: tuple[Any, ...]) -> str:
    """Give the place at which the file system of the path among the arguments is mounted, without touching it."""
    first = arguments[0] if arguments else None
    path = first if isinstance(first, Path) else getattr(first, "scan", None)
    if not isinstance(path, Path):
        return ""
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    places = [re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line.split()[4]) for line in lines]
    return max((place for place in places if path.is_relative_to(place)), key=len, default="")
