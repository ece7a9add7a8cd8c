"""`corelane systemd`: units and drop-ins of this config, rendered, compared, installed, taken away.

The rule: nothing is decided here; see `systemd_units.py` and `systemd_install.py`. Called by `cli.py`, which adds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processes.cli_options import ConfigOption
from processes.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from processes.config import Config
    from processes.systemd_install import Found

app = typer.Typer(help="Units of the set from systemd/ and corelane.toml.", no_args_is_help=True)

RootOption = Annotated[Path, typer.Option(help="Install below this folder, of an image for example.", metavar="DIR")]
IsolateOption = Annotated[
    bool, typer.Option("--isolate", help="Also keep all other slices off the cores on which something spins.")
]


@app.command()
def render(
    config: ConfigOption = None,
    isolate: IsolateOption = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the files below this folder.", metavar="DIR")
    ] = None,
) -> None:
    """Print every unit and drop-in of this config, or write them below a folder of yours."""
    from processes import systemd_install
    from processes.config import ProcessConfigManager
    from processes.systemd_units import problems
    from processes.systemd_units import render as rendered

    loaded = ProcessConfigManager(config).load()
    files = rendered(loaded, isolate=isolate)
    for sentence in problems(loaded):
        typer.echo(f"corelane: {sentence}", err=True)
    if output is None:
        for path, text in files.items():
            typer.echo(f"# --- /{path}\n{text}")
        return
    for line in systemd_install.install(systemd_install.compare(files, output), output):
        typer.echo(line)


@app.command()
def install(
    config: ConfigOption = None,
    isolate: IsolateOption = False,
    root: RootOption = Path("/"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the difference.")] = False,
) -> None:
    """Show the difference, write it, tell systemd. What corelane did not write is left alone, and named."""
    from processes import systemd_install
    from processes.systemd_units import missing_credentials, problems

    loaded, files = _compared(config, isolate, root)
    for line in systemd_install.difference(files):
        typer.echo(line)
    if refused := problems(loaded):
        raise Failure("\n  ".join(["the units could not start", *refused]), ExitCode.CONFIG)
    if dry_run:
        return
    try:
        done = systemd_install.install(files, root)
    except PermissionError as error:
        raise Failure(f"{error.filename}: {error.strerror}; expected to be run by root", ExitCode.CONFIG) from None
    for line in done or ["nothing to change"]:
        typer.echo(line)
    if root == Path("/") and done:
        for line in systemd_install.tell_systemd():
            typer.echo(line)
    for path in missing_credentials(loaded):
        typer.echo(f"corelane: {path} is missing, and its units will not start without it", err=True)
    _name_foreign(files)


@app.command()
def uninstall(root: RootOption = Path("/")) -> None:
    """Remove what install wrote. Stop the set first; the config, credentials and state stay."""
    from processes import systemd_install

    files = systemd_install.compare({}, root)
    try:
        done = systemd_install.uninstall(files, root)
    except PermissionError as error:
        raise Failure(f"{error.filename}: {error.strerror}; expected to be run by root", ExitCode.CONFIG) from None
    for line in done or ["nothing to remove"]:
        typer.echo(line)
    if root == Path("/") and done:
        for line in systemd_install.tell_systemd()[-1:]:
            typer.echo(line)
    _name_foreign(files)


@app.command()
def status(config: ConfigOption = None, isolate: IsolateOption = False, root: RootOption = Path("/")) -> None:
    """How each installed file stands against this config. Exit code 1 where an install would change something."""
    from processes.systemd_install import State

    _, files = _compared(config, isolate, root)
    for file in files:
        typer.echo(f"{file.state.value:<30} {root / file.path}")
    raise typer.Exit(ExitCode.OK if all(file.state is State.SAME for file in files) else ExitCode.DIFFERENCE)


def _compared(config: Path | None, isolate: bool, root: Path) -> tuple[Config, list[Found]]:
    from processes import systemd_install
    from processes.config import ProcessConfigManager
    from processes.systemd_units import render as rendered

    loaded = ProcessConfigManager(config).load()
    return loaded, systemd_install.compare(rendered(loaded, isolate=isolate), root)


def _name_foreign(files: list[Found]) -> None:
    """Exit code 1, and a sentence for each file that could not be put right."""
    from processes.systemd_install import NOT_OURS

    others = [file for file in files if file.state in NOT_OURS]
    for file in others:
        typer.echo(f"corelane: /{file.path} is {file.state.value}, and was left as it is", err=True)
    if others:
        raise typer.Exit(ExitCode.DIFFERENCE)
