"""`corelane doctor` and `corelane host-tuning`: read the host back, and set what a running host may change.

The rule: nothing is decided here; see `doctor.py` and `host_tuning.py`. Called by `cli.py`, which adds them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from processes.cli_options import ConfigOption
from processes.exit_codes import ExitCode, Failure


def doctor(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every finding as one JSON list.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also what is good, and what this machine lacks.")] = False,
    jitter: Annotated[
        bool,
        typer.Option(
            "--jitter", help="Also spin on each core of [cores] (on all, where it has none) and show the longest gap."
        ),
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600.0, help="Of --jitter, per core.")] = 5.0,
    suggest_cores: Annotated[
        bool, typer.Option("--suggest-cores", help="Only print a [cores] table for this host and config.")
    ] = False,
    root: Annotated[
        Path, typer.Option(help="Read /proc and /sys below this folder, of a recorded host for example.", metavar="DIR")
    ] = Path("/"),
) -> None:
    """What of this host is not tuned, what that costs, and how to set it.

    Run it as root outside of any unit. Exit code 0: nothing or notes; 1: warnings; 11: what costs milliseconds.
    """
    from processes import core_suggestion, host_reading
    from processes import doctor as doctoring
    from processes.config import Config, ProcessConfigManager

    manager = ProcessConfigManager(config)
    loaded: Config | None = manager.load() if config is not None or manager.path.exists() else None
    host = host_reading.Host(root)
    if loaded is None and suggest_cores:
        raise Failure(f"{manager.path}: no such file, expected a config: it says which processes run", ExitCode.CONFIG)
    if loaded is not None and suggest_cores:
        typer.echo(core_suggestion.suggest(host, loaded.processes()), nl=False)
        return
    found = doctoring.findings(host, loaded)
    if jitter:
        found += doctoring.jitter_findings(loaded, host.cores, seconds)
    if as_json:
        typer.echo(json.dumps(doctoring.as_json(found), indent=2))
    else:
        for line in doctoring.lines(found, everything=everything):
            typer.echo(line)
        if loaded is None:
            typer.echo(f"no {manager.path}: checked without a config; cores and classes were not looked at")
    raise typer.Exit(doctoring.exit_code(found))


tuning_app = typer.Typer(
    help="Set what a running host may change (sysctls, huge pages, governor, C-states), and undo it.",
    no_args_is_help=True,
)


@tuning_app.command("show")
def tuning_show() -> None:
    """What `hold` would change now. Changes nothing."""
    from processes import host_tuning
    from processes.host_reading import Host

    changes = host_tuning.wanted(Host())
    for path, value in changes.items():
        typer.echo(f"{path}: -> {value}")
    typer.echo(f"{len(changes)} changes, and 0 us in {host_tuning.LATENCY}")


@tuning_app.command("hold")
def tuning_hold() -> None:
    """Change it, print each change, keep it until SIGTERM or Ctrl-C, then put everything back."""
    from processes import host_tuning
    from processes.host_reading import Host

    for line in host_tuning.hold(Host()):
        typer.echo(line)


@tuning_app.command("restore")
def tuning_restore() -> None:
    """Put back what a `hold` that was killed has changed."""
    from processes import host_tuning
    from processes.host_reading import Host

    for line in host_tuning.restore(Host()):
        typer.echo(line)
