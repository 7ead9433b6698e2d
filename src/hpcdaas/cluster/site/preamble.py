"""What a job does before the program starts, and the words that start it: from the site file, all quoted."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from hpcdaas.cluster.site import Site


def environment(site: Site) -> dict[str, str]:
    """Give the variables that a job gets from the site file."""
    locking = "TRUE" if site.files.locking else "FALSE"
    return {"HDF5_USE_FILE_LOCKING": locking, **site.job.variables}


def lines(site: Site) -> list[str]:
    """Give the lines of a batch script, for bash, that come before the program.

    Parameters
    ----------
    site : Site
        Its tables ``job`` and ``files`` are used.

    Returns
    -------
    list of str
        A job whose module can't be loaded ends there.
    """
    found = []
    if site.job.modules:
        # a batch script is no login shell: where `module` isn't inherited, the system's profile has it
        found.append("type module >/dev/null 2>&1 || . /etc/profile")
        found += [f"module load {shlex.quote(name)} || exit 1" for name in site.job.modules]
    if not site.job.image:
        found.append(f"export PATH={shlex.quote(str(_folder(site)))}${{PATH:+:$PATH}}")
    found += [f"export {name}={shlex.quote(value)}" for name, value in environment(site).items()]
    if site.job.scratch:
        scratch = shlex.quote(str(site.job.scratch))
        found.append(f"mkdir -p -- {scratch} && export TMPDIR={scratch}")
    return found


def program(site: Site) -> list[str]:
    """Give the words that start the command line ``hpcdaas`` on a node."""
    return [*_image(site), "hpcdaas"] if site.job.image else [str(_folder(site) / "hpcdaas")]


def interpreter(site: Site) -> list[str]:
    """Give the words that start the Python in which hpcdaas is installed, on a node."""
    return [*_image(site), "python3"] if site.job.image else [str(_folder(site) / "python")]


def _folder(site: Site) -> Path:
    """Say where ``hpcdaas`` and ``python`` are: this program's own environment, unless the site names one."""
    return site.job.environment / "bin" if site.job.environment else Path(sys.executable).parent


def _image(site: Site) -> list[str]:
    """Give the words that run a command in the site's image; ``--nv`` says nothing on nodes without a GPU."""
    bound = [word for path in site.job.bind for word in ("--bind", path)]
    return ["apptainer", "--silent", "exec", "--nv", *bound, str(site.job.image)]
