"""Chromium without a window: what a page is once it is rendered."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
           "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str:
    """Give the browser; without one a test is skipped, and fails where all that tests need must be there."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail("no chromium: install it, the pages are tested in it")
    pytest.skip("no chromium")


def _run(*arguments: str) -> str:
    with tempfile.TemporaryDirectory() as profile:
        command = [find_browser(), *OPTIONS, f"--user-data-dir={profile}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def page(url: str) -> Page:
    """Give a page as the browser has it after loading."""
    return Page(_run("--dump-dom", url))


def pixels(url: str, path: Path, width: int = 1200, height: int = 1400) -> Any:
    """Take a picture of a page; give its pixels (row, column, RGB)."""
    _run(f"--screenshot={path}", f"--window-size={width},{height}", url)
    return np.asarray(Image.open(path).convert("RGB"))


class Page(HTMLParser):
    """What is in a page: its text, links by their text, pictures by their address, choices of its form."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.text, self.links, self.pictures = html, "", {}, {}  # type: ignore[var-annotated]
        self.choices: dict[str, dict[str, str]] = {}
        self.chosen: dict[str, str] = {}
        self._link = self._select = self._option = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self._link = given.get("href", "")
        elif tag == "img":
            self.pictures[given["src"]] = given.get("alt", "")
        elif tag == "select":
            self._select = given["name"]
            self.choices[self._select] = {}
        elif tag == "option":
            self._option = given["value"]
            if "selected" in given:
                self.chosen[self._select] = self._option
        elif tag == "input":
            self.chosen[given.get("name", "")] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._link = ""
        elif tag == "option":
            self._option = ""

    def handle_data(self, data: str) -> None:
        words = " ".join(data.split())
        if not words:
            return
        self.text += f" {words}"
        if self._link:
            self.links.setdefault(words, []).append(self._link)
        if self._option:
            self.choices[self._select][self._option] = words
