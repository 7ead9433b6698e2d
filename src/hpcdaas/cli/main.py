"""The command line: one file per verb, put together here; errors become one or two lines."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer

import hpcdaas
from hpcdaas.cli import catalog
from hpcdaas.cli.demo import demo
from hpcdaas.cli.inspect import inspect
from hpcdaas.cli.reconstruct import reconstruct
from hpcdaas.cli.report import report
from hpcdaas.errors import HpcdaasError, InputError, Interrupted

app = typer.Typer(
    name="hpcdaas",
    help="Raw scans of a photon source in, reconstructed and catalogued results out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hpcdaas {hpcdaas.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Raw scans of a photon source in, reconstructed and catalogued results out."""


app.command()(demo)
app.command()(inspect)
app.command()(reconstruct)
app.command()(report)
app.add_typer(catalog.app, name="catalog")


def main() -> None:
    """Run the command line and exit with 0 done, 1 failed, 2 input wrong, 3 interrupted."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    as_json = "--json" in arguments
    # --debug is welcome anywhere on the line
    arguments = (["--debug"] if debug else []) + [a for a in arguments if a != "--debug"]
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="hpcdaas", standalone_mode=False)
    except HpcdaasError as error:
        if debug:
            raise
        sys.exit(_tell(error, as_json))
    except KeyboardInterrupt:
        sys.exit(_tell(Interrupted("Stopped.", "The same command goes on where this one stopped."), as_json))
    except MemoryError:
        if debug:
            raise
        sys.exit(
            _tell(HpcdaasError("There is not enough memory.", "Give a smaller --memory, or more to the job."), as_json)
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone
        sys.exit(1)
    except Exception as error:
        usage = _usage(error)
        if usage is None:
            if debug:
                raise
            usage = HpcdaasError(f"{type(error).__name__}: {error}", "This is a fault of hpcdaas: --debug shows where.")
        sys.exit(_tell(usage, as_json))
    sys.exit(code if isinstance(code, int) else 0)


def _usage(error: Exception) -> HpcdaasError | None:
    """Turn what the argument parser complains of into ours."""
    said = getattr(error, "format_message", None)
    if said is None:
        return None
    context: Any = getattr(error, "ctx", None)
    where = f"{context.command_path} --help" if context is not None else "hpcdaas --help"
    return InputError(said().split("\n")[0], f"See '{where}'.")


def _tell(error: HpcdaasError, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": {"code": error.code, "message": error.message, "hint": error.hint}}))
    else:
        print(f"hpcdaas: {error}", file=sys.stderr)
    return error.exit_code
