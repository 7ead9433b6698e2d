"""The environment module in Tcl Modules, Lmod and Pmodules, and the installation that it belongs to."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from hpcdaas.cluster.site import Site
from hpcdaas.cluster.site.preamble import program

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION: str = PROJECT["version"]
#: Another release, which is installed beside this one.
OTHER = "99.1.0"
MODULEFILE = ROOT / "modulefiles" / "hpcdaas" / VERSION
#: Where Tcl Modules are, and where `.ci/unpack-lmod` puts Lmod, whose package would drive them out.
TCL = Path("/usr/share/modules")
LMOD = Path(os.environ.get("HPCDAAS_LMOD", ROOT / "build" / "lmod")) / "usr" / "share" / "lmod" / "lmod"
INIT = {"tcl": TCL / "init" / "bash", "lmod": LMOD / "init" / "bash"}

Shell = Callable[..., subprocess.CompletedProcess[str]]


class Installation(NamedTuple):
    prefix: Path
    modulefiles: Path


def need(there: object, what: str) -> None:
    """Skip a test where something isn't there; fail instead where CI=true."""
    if there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def install(prefix: object, **settings: object) -> subprocess.CompletedProcess[str]:
    given = {name: str(value) for name, value in {"PREFIX": prefix, **settings}.items()}
    environment = {**os.environ, **given}
    command = ["make", "--no-print-directory", "install"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Two releases side by side; hpcdaas itself is that of this environment (the long test installs a new one)."""
    top = tmp_path_factory.mktemp("site").resolve() / "opt"
    made = Installation(top / VERSION, top.parent / "modulefiles")
    done = install(made.prefix, MODULEFILES=made.modulefiles, ENVIRONMENT=sys.prefix)
    assert done.returncode == 0, done.stderr
    shutil.copytree(made.prefix, top / OTHER, symlinks=True)
    other = top / OTHER / "modulefiles" / "hpcdaas"
    (other / VERSION).rename(other / OTHER)
    (made.modulefiles / "hpcdaas" / OTHER).symlink_to(other / OTHER)
    return made


@pytest.fixture
def site(installation: Installation) -> Iterator[Path]:
    """Site file of the installation."""
    path = installation.prefix / "etc" / "site.toml"
    path.write_text('name = "here"\n')
    yield path
    path.unlink()


@pytest.fixture(params=INIT)
def system(request: pytest.FixtureRequest) -> str:
    """Name a module system."""
    name: str = request.param
    need(INIT["tcl"].exists(), "no Tcl Modules: apt-get install environment-modules")
    need(INIT[name].exists(), f"no Lmod in {LMOD}: .ci/unpack-lmod build/lmod")
    return name


@pytest.fixture
def shell(system: str, installation: Installation, tmp_path: Path) -> Shell:
    """Run lines in a new shell of a user, with the module system and the site's modules."""

    def run(*lines: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        start = [f'. "{INIT[system]}"', f'module use "{installation.modulefiles}"']
        environment = {"HOME": str(tmp_path), "USER": "someone", "PATH": "/usr/bin:/bin", "PAGER": "cat", **variables}
        done = subprocess.run(
            ["bash", "--norc", "--noprofile", "-c", "\n".join([*start, *lines])],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def variables(path: Path) -> dict[str, str]:
    """Give what `env -0` has written, without the books that the module systems keep."""
    pairs = (entry.split("=", 1) for entry in path.read_text().split("\0") if entry)
    return {name: value for name, value in pairs if not name.startswith(("_", "LOADEDMODULES"))}


def test_what_is_loaded_is_unloaded(shell: Shell, installation: Installation, tmp_path: Path) -> None:
    found = shell(
        "env -0 >before",
        f"module load hpcdaas/{VERSION}",
        "env -0 >loaded; command -v hpcdaas; hpcdaas --version",
        "module unload hpcdaas",
        "env -0 >after; command -v hpcdaas || echo gone",
    )
    prefix = str(installation.prefix)
    assert found.stdout.splitlines() == [f"{prefix}/bin/hpcdaas", f"hpcdaas {VERSION}", "gone"]
    before, loaded, after = (variables(tmp_path / name) for name in ("before", "loaded", "after"))
    assert dict(loaded.items() - before.items()) == {
        "HPCDAAS_PREFIX": prefix,
        "HPCDAAS_VERSION": VERSION,
        "PATH": f"{prefix}/bin:{before['PATH']}",
    }
    assert after == before
    # the python of the installation doesn't come before the user's
    assert [each.name for each in (installation.prefix / "bin").iterdir()] == ["hpcdaas"]


def test_the_site_file_comes_with_the_module(shell: Shell, site: Path) -> None:
    show = 'echo "${HPCDAAS_SITE-none}"'
    found = shell(show, f"module load hpcdaas/{VERSION}", show, f"module swap hpcdaas/{OTHER}", show)
    assert found.stdout.split() == ["none", str(site), "none"]


def test_two_versions_are_not_loaded_at_once(shell: Shell, system: str, installation: Installation) -> None:
    lines = [f"module load hpcdaas/{VERSION}", f"module load hpcdaas/{OTHER}"]
    show = 'echo "$LOADEDMODULES $HPCDAAS_VERSION $PATH"'
    found = shell(*lines, show, LMOD_DISABLE_SAME_NAME_AUTOSWAP="yes")
    assert "conflict" in found.stderr or "modules with same name" in found.stderr
    assert found.stdout.split()[:2] == [f"hpcdaas/{VERSION}", VERSION]
    assert OTHER not in found.stdout
    if system == "lmod":  # which puts the second in the place of the first, unless it is told otherwise
        found = shell(*lines, show)
        assert found.stdout.split()[:2] == [f"hpcdaas/{OTHER}", OTHER]
        assert str(installation.prefix / "bin") not in found.stdout


def test_shown(shell: Shell, installation: Installation) -> None:
    prefix = re.escape(str(installation.prefix))
    said = shell(f"module show hpcdaas/{VERSION}").stderr
    for line in (
        r"whatis\W+hpcdaas: raw scans in",
        r"conflict\W+hpcdaas\b",
        rf"setenv\W+HPCDAAS_PREFIX\W+{prefix}\b",
        rf"setenv\W+HPCDAAS_VERSION\W+{VERSION}\b",
        rf"prepend.path\W+PATH\W+{prefix}/bin\b",
    ):
        assert re.search(line, said), said
    assert "hpcdaas doctor says" in shell(f"module help hpcdaas/{VERSION}").stderr
    assert "raw scans in" in shell(f"module whatis hpcdaas/{VERSION}").stderr


def checked(system: str, shell: Shell, folder: Path) -> str:
    """Let the module system look over all modulefiles of a folder; give what it finds, empty if all are well."""
    if system == "lmod":
        done = shell(f'"{LMOD}/libexec/check_module_tree_syntax" "{folder}" && echo well || true')
        return "" if done.stdout.endswith("well\n") else done.stderr
    linter = shutil.which("tclint", path=f"{ROOT / 'build/tclint/bin'}{os.pathsep}{os.environ['PATH']}")
    need(linter, "no Tcl linter tclint: .ci/services installs it")
    said = shell(
        f'module unuse "$MODULEPATH"; module use "{folder}"; module lint || true', MODULES_TCL_LINTER=f"{linter}"
    )
    return re.sub(r"Linting .*|ERROR: *$", "", said.stderr, flags=re.MULTILINE).strip()


@pytest.mark.parametrize("fault", ["", "if {1} {", "setenv ONE TWO THREE; set"])
def test_linted(shell: Shell, system: str, fault: str, tmp_path: Path) -> None:
    """A fault is found, and there is none."""
    folder = tmp_path / "checked" / "hpcdaas"
    folder.mkdir(parents=True)
    (folder / VERSION).write_text(f"{MODULEFILE.read_text()}{fault}\n")
    assert bool(checked(system, shell, folder.parent)) == bool(fault)


def test_pmodules_sets_the_prefix(installation: Installation, tmp_path: Path) -> None:
    """With the library of Pmodules itself, where there is a checkout of it (no package index has one)."""
    checkout = os.environ.get("HPCDAAS_PMODULES")
    if not checkout:
        pytest.skip("HPCDAAS_PMODULES names no checkout of Pmodules")
    library, root = tmp_path / "library", tmp_path / "psi"
    library.mkdir()
    shutil.copy(Path(checkout) / "Pmodules" / "libmodules.tcl", library)
    subprocess.run(["tclsh"], input=f"auto_mkindex {library} *.tcl", text=True, check=True)
    prefix, modulefiles = root / "Tools" / "hpcdaas" / VERSION, root / "Tools" / "modulefiles"
    shutil.copytree(installation.prefix, prefix, symlinks=True)
    (modulefiles / "hpcdaas").mkdir(parents=True)
    shutil.copy(MODULEFILE, modulefiles / "hpcdaas")
    overlay = (
        f"declare -A OverlayInfo=([base:modulefiles_root]={root} [base:install_root]={root} [base:layout]=Pmodules"
    )
    state = f'{overlay} [base:type]=n )\ndeclare -a UsedOverlays=([0]="base")\n'
    script = f'. "{INIT["tcl"]}"; module use "{modulefiles}"; env -0 >before; module load hpcdaas; env -0 >loaded;'
    environment = {
        "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TCLLIBPATH": f"{library} {os.environ.get('TCLLIBPATH', '')}",
        "PMODULES_ENV": base64.b64encode(state.encode()).decode(),
    }  # fmt: skip
    command = ["bash", "-c", f"{script} module unload hpcdaas; env -0 >after"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    before, loaded, after = (variables(tmp_path / name) for name in ("before", "loaded", "after"))
    said = dict(loaded.items() - before.items())
    assert said.pop("PMODULES_LOADED_TOOLS") == f"hpcdaas/{VERSION}"
    assert said == {
        "PATH": f"{prefix}/bin:{before['PATH']}",
        "HPCDAAS_VERSION": VERSION,
        **{f"HPCDAAS_{name}": str(prefix) for name in ("PREFIX", "DIR", "HOME")},
    }
    assert before.items() <= after.items()


def test_the_recipe_for_pmodules_is_of_this_release() -> None:
    folder = ROOT / "modulefiles" / "pmodules" / "hpcdaas"
    recipe = yaml.safe_load((folder / "files" / "config.yaml").read_text())
    assert recipe["format"] == 1
    assert list(recipe["hpcdaas"]["versions"]) == [VERSION]
    assert os.access(folder / "build", os.X_OK)
    assert [path.name for path in MODULEFILE.parent.iterdir()] == [VERSION]


def test_installed_again(installation: Installation, site: Path) -> None:
    """What the site has put into etc/ stays, what else is there is replaced."""
    (installation.prefix / "bin" / "old").touch()
    done = install(installation.prefix, MODULEFILES=installation.modulefiles, ENVIRONMENT=sys.prefix)
    assert done.returncode == 0, done.stderr
    assert site.read_text() == 'name = "here"\n'
    assert [each.name for each in (installation.prefix / "bin").iterdir()] == ["hpcdaas"]
    assert [each.name for each in installation.prefix.parent.glob(f"{VERSION}*")] == [VERSION]


def test_refused_before_anything_is_made(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "hpcdaas").mkdir(parents=True)
    (mine / "hpcdaas" / VERSION).write_text("mine")
    prefix = tmp_path / "prefix"
    for settings, said in (
        ({"prefix": "opt"}, "must be an absolute path"),
        ({"prefix": ""}, "must be an absolute path"),
        ({"prefix": mine}, "isn't an installation of hpcdaas"),
        ({"prefix": prefix, "MODULEFILES": mine}, "isn't a link to an installation"),
        ({"prefix": prefix, "MODULEFILES": "mine"}, "must be an absolute path"),
        ({"prefix": prefix, "ENVIRONMENT": mine}, f"holds no hpcdaas {VERSION}"),
        ({"prefix": prefix, "PYTHON": "/bin/false"}, "isn't Python 3.11"),
    ):
        done = install(**settings)  # type: ignore[arg-type]
        assert done.returncode != 0
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == [VERSION, "hpcdaas", "mine"]


def test_what_the_pages_say_of_the_site_file_is_one() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    tables = [Site.model_validate(tomllib.loads(block)) for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    assert [bool(table.job.modules) for table in tables] == [True, False]
    assert program(tables[1])[-2:] == ["/opt/hpcdaas.sif", "hpcdaas"]


def test_the_container_s_scripts_are_shell() -> None:
    """Apptainer carries them out with sh; what they install is what pyproject.toml calls so."""
    text = (ROOT / "containers" / "hpcdaas.def").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", text, re.MULTILINE | re.DOTALL))
    for name in ("post", "environment", "runscript", "test"):
        subprocess.run(["sh", "-n"], input=parts[name], text=True, check=True)
    (extras,) = re.findall(r'"\$wheel\[(.*)\]"', parts["post"])
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


@pytest.mark.long
@pytest.mark.parametrize("system", ["tcl"], indirect=True)
def test_a_whole_installation(shell: Shell, tmp_path: Path) -> None:
    """With a virtual environment of its own, from the package index."""
    prefix, modulefiles = tmp_path / "opt" / VERSION, tmp_path / "modulefiles"
    done = install(prefix, MODULEFILES=modulefiles)
    assert done.returncode == 0, done.stderr
    named = [path for path in (prefix / "python" / "bin").iterdir() if b".partial" in path.read_bytes()]
    assert named == []
    found = shell(
        f'module use "{modulefiles}"', f"module load hpcdaas/{VERSION}", "hpcdaas demo -o demo && hpcdaas doctor"
    )
    assert str(prefix) in found.stdout
    assert (tmp_path / "demo" / "demo_report" / "demo.html").is_file()
