import base64
import json
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from hpcdaas.catalog.address import base_url
from hpcdaas.catalog.scicat import Scicat
from hpcdaas.catalog.settings import CatalogSettings, load_settings, read_secret
from hpcdaas.catalog.store import open_catalog
from hpcdaas.catalog.token import Token
from hpcdaas.cluster.poster import catalog_of
from hpcdaas.cluster.site import load_site
from hpcdaas.errors import InputError

SECRET = "tr0ub4dor-secret"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("HPCDAAS_CATALOG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))
    (tmp_path / "hpcdaas").mkdir()


def written(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "hpcdaas" / "catalog.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_nothing_is_needed() -> None:
    assert load_settings() == CatalogSettings()


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, f'username = "u"\npassword = "{SECRET}"\nowner_group = "p1"\naccess_groups = ["a"]')
    monkeypatch.setenv("HPCDAAS_CATALOG_OWNER_GROUP", "p2")
    monkeypatch.setenv("HPCDAAS_CATALOG_ACCESS_GROUPS", "b, c")
    monkeypatch.setenv("HPCDAAS_CATALOG_REGISTER_RAW", "1")
    found = load_settings()
    assert (found.username, found.owner_group, found.access_groups, found.register_raw) == ("u", "p2", ("b", "c"), True)
    assert found.password is not None
    assert found.password.get_secret_value() == SECRET
    assert SECRET not in repr(found) + str(found) + found.model_dump_json()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, f'token = "{SECRET}"', mode)
    with pytest.raises(InputError, match=r"Others can read .*catalog\.toml") as caught:
        load_settings()
    assert caught.value.hint == f"chmod 600 {path}"
    with pytest.raises(InputError, match="Others can read"):
        read_secret(path)
    written(tmp_path, 'owner_group = "p1"', mode)  # no secret in it
    assert load_settings().owner_group == "p1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'pasword = "{SECRET}"', "know no 'pasword'"),
        (f'token = "{SECRET}', "are no TOML"),
        (f'token = ["{SECRET}"]', "token in"),
        ('register_raw = "perhaps"', "register_raw in"),
    ],
)
def test_mistakes_are_said_without_values(tmp_path: Path, text: str, message: str) -> None:
    written(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        load_settings()
    assert SECRET not in str(caught.value)
    assert "\n" not in caught.value.message


def test_an_empty_or_missing_token_file(tmp_path: Path) -> None:
    empty = tmp_path / "token"
    empty.touch(0o600)
    with pytest.raises(InputError, match="is empty"):
        read_secret(empty)
    with pytest.raises(InputError, match="can't be read"):
        read_secret(tmp_path / "gone")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://scicat.example.org", "https://scicat.example.org"),
        ("https://SciCat.example.org:8443/api/v3/", "https://scicat.example.org:8443"),
        ("https://example.org/backend/api/v4", "https://example.org/backend"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[::1]:3000/", "http://[::1]:3000"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_addresses(given: str, meant: str) -> None:
    assert base_url(given) == meant


@pytest.mark.parametrize(
    "given",
    ["http://scicat.example.org", "http://10.0.0.1", f"https://u:{SECRET}@x.org", f"https://x.org?access_token={SECRET}",
     "https://", "https://x.org:port", "ftp://x.org", "http://localhost.example.org"],
)  # fmt: skip
def test_addresses_that_are_refused(given: str) -> None:
    with pytest.raises(InputError) as caught:
        base_url(given)
    assert SECRET not in str(caught.value)


def test_a_catalogue_is_opened_without_asking_it() -> None:
    assert "scicat.example.org" in repr(open_catalog("https://scicat.example.org/api/v3"))
    with pytest.raises(InputError, match="no kind of catalogue"):
        open_catalog("ftp://x")


def jwt(**payload: float) -> SecretStr:
    text = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
    return SecretStr(f"e30.{text}.c2ln")


def test_when_a_token_ends() -> None:
    token = Token.of(jwt(iat=1000, exp=4600))
    assert [token.ends(now) for now in (4539, 4540, 4600)] == [False, True, True]
    assert [token.expired(now) for now in (4599, 4600)] == [False, True]
    assert not Token.of(jwt(iat=0, exp=10)).ends(7)  # one that lives shortly is used
    for opaque in ("abc", "a.b.c", "a.e30.c", "..", "a.bnVsbA.c"):
        assert not Token.of(SecretStr(opaque)).ends(1e12)
    assert "e30" not in repr(token)


def test_the_site_file_says_how_raw_scans_are_called(tmp_path: Path) -> None:
    written(tmp_path, 'raw_pid = "mine.{scan}"\nowner_group = "p1"')
    site = tmp_path / "site.toml"
    told = ('name = "here"\n[catalog]\nuri = "https://scicat.example.org"\n', 'raw_pid = "{proposal}.{scan}"\n')
    for text, expected in ((told[0], "mine.{scan}"), ("".join(told), "{proposal}.{scan}")):
        site.write_text(text)
        catalog = catalog_of(load_site(site), tmp_path / "state")
        assert isinstance(catalog, Scicat)
        assert (catalog.settings.raw_pid, catalog.settings.owner_group) == (expected, "p1")
