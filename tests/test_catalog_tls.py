"""https with a site's own authority: it is verified, and refused where the client doesn't know it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog_runs import finished
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.outcome import Unreachable
from hpcdaas.catalog.record import Record
from hpcdaas.catalog.scicat import Scicat
from hpcdaas.catalog.settings import CatalogSettings
from hpcdaas.errors import InputError
from served import PASSWORD, Served, served

TOLD = {"username": "ingestor", "password": PASSWORD, "owner_group": "p1", "owner": "A. Person",
        "contact_email": "a@x.org", "access_groups": ("ingestor",)}  # fmt: skip


def openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def certificate(folder: Path, name: str, names: str) -> None:
    """Make an authority and a server's certificate that it signs: NAME-ca.pem, NAME.pem, NAME.key."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *key, "-keyout", f"{name}-ca.key", "-out", f"{name}-ca.pem", "-days", "2",
            "-subj", f"/CN=authority of {name}", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    (folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{name}-ca.pem", "-CAkey", f"{name}-ca.key",
            "-CAcreateserial", "-days", "2", "-out", f"{name}.pem", "-extfile", f"{name}.ext")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no openssl: install it, TLS is tested with certificates that it makes")
        pytest.skip("no openssl")
    place = tmp_path_factory.mktemp("tls")
    certificate(place, "site", "IP:127.0.0.1")
    certificate(place, "other", "DNS:scicat.example.org")
    return place


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    """`Served` itself logs in for nobody here: its client doesn't know the authority."""
    with served(folder, "--certificate", str(folder / "site.pem"), "--key", str(folder / "site.key")) as running:
        assert running.url.startswith("https://127.0.0.1:")
        yield running


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return make_record(finished(tmp_path))


def client(server: Served, tmp_path: Path, ca_file: Path | None = None) -> Scicat:
    settings = CatalogSettings.model_validate({**TOLD, "ca_file": ca_file})
    return Scicat(server.url, settings, state=tmp_path / "state", patience=2.0)


def test_the_sites_authority_is_named_in_the_settings(
    server: Served, folder: Path, tmp_path: Path, record: Record
) -> None:
    catalog = client(server, tmp_path, folder / "site-ca.pem")
    assert catalog.register(record) == record.derived.pid
    assert catalog.dataset(record.derived.pid)["numberOfFiles"] == 1


def test_the_sites_authority_is_named_as_for_other_programs(
    server: Served, folder: Path, tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "site-ca.pem"))
    assert client(server, tmp_path).register(record) == record.derived.pid


@pytest.mark.parametrize("known", ["none", "another"])
def test_without_it_nothing_is_sent(
    server: Served, folder: Path, tmp_path: Path, record: Record, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    catalog = client(server, tmp_path, folder / "other-ca.pem" if known == "another" else None)
    with pytest.raises(Unreachable, match=r"certificate of https://127\.0\.0\.1:\d+ isn't trusted") as caught:
        catalog.register(record)
    assert "ca_file" in str(caught.value.hint)
    assert PASSWORD not in str(caught.value)


def test_a_certificate_of_another_host_is_refused(folder: Path, tmp_path: Path, record: Record) -> None:
    files = ("--certificate", str(folder / "other.pem"), "--key", str(folder / "other.key"))
    with served(tmp_path, *files) as server, pytest.raises(Unreachable, match="isn't trusted"):
        client(server, tmp_path, folder / "other-ca.pem").register(record)


def test_a_file_that_holds_no_certificates(server: Served, folder: Path, tmp_path: Path, record: Record) -> None:
    for path in (folder / "site.key", folder / "gone.pem"):
        with pytest.raises(InputError, match="holds no certificates"):
            client(server, tmp_path, path).register(record)


@pytest.mark.parametrize("key", [None, "other.key"])
def test_a_certificate_needs_its_key(folder: Path, tmp_path: Path, key: str | None) -> None:
    given = ["--certificate", str(folder / "site.pem"), *(["--key", str(folder / key)] if key else [])]
    said = r"no certificate and key" if key else r"come together"
    with pytest.raises(AssertionError, match=said), served(tmp_path, *given):
        pass
