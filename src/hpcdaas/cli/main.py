"""The command line: one file per verb, put together here; errors become one or two lines."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from typing import Annotated, Any

import typer

import hpcdaas
from hpcdaas.cli import bench, catalog, interrupts, site
from hpcdaas.cli.demo import demo
from hpcdaas.cli.doctor import doctor
from hpcdaas.cli.inspect import inspect
from hpcdaas.cli.reconstruct import reconstruct
from hpcdaas.cli.report import report
from hpcdaas.cli.status import status
from hpcdaas.cli.steer import cancel, pause, retry
from hpcdaas.cli.submit import submit
from hpcdaas.cli.watch import watch
from hpcdaas.errors import HpcdaasError, InputError, Interrupted, for_people

app = typer.Typer(
    name="hpcdaas",
    help="Raw scans of a photon source in, reconstructed and catalogued results out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

#: What the argument parser makes of Ctrl-C.
KEYBOARD = 130


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hpcdaas {hpcdaas.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, too.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Raw scans of a photon source in, reconstructed and catalogued results out."""


app.command()(demo)
app.command()(inspect)
app.command()(reconstruct)
app.command()(report)
app.command()(submit)
app.command()(watch)
app.command()(status)
app.command()(retry)
app.command()(cancel)
app.command()(pause)
app.command()(doctor)
app.add_typer(bench.app, name="bench")
app.add_typer(site.app, name="site")
app.add_typer(catalog.app, name="catalog")


def main() -> None:
    """Run the command line and exit with 0 done, 1 failed, 2 input wrong, 3 interrupted."""
    # NumPy's matrix products are small here; threads of theirs would stand awake beside those of the kernels
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    interrupts.keep()
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    as_json = "--json" in arguments
    # --debug is welcome anywhere on the line
    arguments = (["--debug"] if debug else []) + [a for a in arguments if a != "--debug"]
    try:
        code = _run(arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone
        code = 1
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        verb = next((a for a in arguments if not a.startswith("-")), "")
        code = _tell(_for_people(error, goes_on=verb == "reconstruct"), as_json)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    code = typer.main.get_command(app).main(arguments, prog_name="hpcdaas", standalone_mode=False)
    if code == KEYBOARD:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _for_people(error: BaseException, goes_on: bool) -> HpcdaasError:
    """Say in one or two lines what happened; `goes_on`: whether the command takes up what it left."""
    if isinstance(error, KeyboardInterrupt) and goes_on:
        return Interrupted("Stopped.", "The same command goes on where this one stopped.")
    return _usage(error) or for_people(error)


def _usage(error: BaseException) -> HpcdaasError | None:
    """Turn what the argument parser complains of into ours."""
    said = getattr(error, "format_message", None)
    if said is None:
        return None
    context: Any = getattr(error, "ctx", None)
    where = f"{context.command_path} --help" if context is not None else "hpcdaas --help"
    return InputError(said().split("\n")[0], f"See '{where}'.")


def _tell(error: HpcdaasError, as_json: bool) -> int:
    from hpcdaas.parallel.launcher import announced  # with NumPy, which not every verb needs

    one_of_many = announced()
    if one_of_many and one_of_many.rank:  # rank 0 says it for all, before a launcher sees that one of them has ended
        time.sleep(0.5)
        return error.exit_code
    if as_json:
        print(json.dumps({"error": {"code": error.code, "message": error.message, "hint": error.hint}}))
    else:
        print(f"hpcdaas: {error}", file=sys.stderr)
    return error.exit_code
