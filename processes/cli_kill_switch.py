"""`corelane kill-switch on|off|status` and `corelane flatten`: parse, call processes/emergency.py, say what came of it.

The rule: the word is set before anything that takes time is even imported, and needs neither a process of the set nor a
segment nor a terminal. Exit code 0 of `on` says that all is gone at every venue and that no engine sends any more.
Called by `cli.py`, which adds them to the command line.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from processes.cli_options import ConfigOption
from processes.config import Config, ProcessConfigManager
from processes.exit_codes import ExitCode, Failure
from processes.kill_switch import Command

if TYPE_CHECKING:
    from processes.emergency import Result, VenueResult

app = typer.Typer(
    help="Stop every engine of the instance from sending orders, and cancel all orders. Cancels always pass.",
    no_args_is_help=True,
)

ECHO_S = 2.0
PatienceOption = Annotated[
    float, typer.Option(min=0.5, max=3600.0, help="Seconds to go on trying where a venue does not do it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="The result as one JSON object.")]


@app.command("on")
def on(
    word_only: Annotated[
        bool, typer.Option("--word-only", help="Only stop the engines; they cancel, nobody looks whether they did.")
    ] = False,
    patience: PatienceOption = 10.0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """No more orders, also after a restart or a reboot, until it is turned off; and every open order is canceled.

    Engines cancel, and this command cancels over connections of its own, so it works while they are dead or stopped.
    Then the venues are asked again, after the time in which they may still accept an order sent before. Only orders of
    this instance are touched. Exit code 0: all gone; 1: orders are left; 6: a venue does not answer; 7: an engine lives
    and has not obeyed. Needs no terminal: `systemctl start corelane-kill-switch` runs it.
    """
    started_ns = time.monotonic_ns()
    loaded = _load(config)
    command, unkept = _turn_on(loaded, started_ns)
    if word_only:
        _confirmed(loaded, command.generation)
    else:
        from processes import emergency

        _end(emergency.cancel_all(loaded, command, patience), unkept, as_json=as_json)


@app.command("off")
def off(config: ConfigOption = None) -> None:
    """Let engines send orders again."""
    from processes import kill_switch, shm_admin

    loaded = _load(config)
    instance = shm_admin.instance_of(loaded)
    _confirmed(loaded, kill_switch.of_instance(instance).set(False))


@app.command("status")
def status(config: ConfigOption = None) -> None:
    """Whether it is on, and which engines obeyed. Exit code 1 where it is on."""
    from processes import kill_switch, shm_admin

    instance = shm_admin.instance_of(_load(config))
    generation = kill_switch.of_instance(instance).generation()
    _print(generation, kill_switch.echoes(instance))
    raise typer.Exit(ExitCode.DIFFERENCE if kill_switch.is_on(generation) else ExitCode.OK)


def flatten(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    live: Annotated[bool, typer.Option("--live", help="With --yes: also where a venue is live.")] = False,
    patience: PatienceOption = 10.0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Turn the kill switch on, cancel every order, then close the positions of the configured symbols at the market.

    Positions belong to the account, not to this instance: one that another instance or a person holds in a configured
    symbol is closed too. The orders are reduce-only and go over connections of this command, because engines send
    nothing while the switch is on. It stays on. Exit code 0: the venues say that no order and no position is left.
    """
    started_ns = time.monotonic_ns()
    loaded = _load(config)
    _ask(loaded, yes=yes, live=live)
    command, unkept = _turn_on(loaded, started_ns)
    from processes import emergency

    _end(emergency.flatten(loaded, command, patience), unkept, as_json=as_json)


def _load(file: Path | None) -> Config:
    return ProcessConfigManager(file).load()


def _ask(config: Config, *, yes: bool, live: bool) -> None:
    """Raises Failure where nobody agreed."""
    venues = [name for name, venue in config.venues.items() if venue.environment == "live"]
    if yes:
        if venues and not live:
            raise Failure(
                f"flatten: {', '.join(venues)} is live, where --yes alone is not enough; expected --live too",
                ExitCode.CONFIG,
            )
        return
    word = "flatten live" if venues else "flatten"
    where = ", ".join(f"{name} ({venue.environment})" for name, venue in config.venues.items())
    typer.echo(
        f"Cancels all orders and closes at the market all positions in the configured symbols of {where}.", err=True
    )
    try:
        typed = typer.prompt(f'Type "{word}" to go on', default="", show_default=False, err=True)
    except typer.Abort:
        typed = ""
    if typed != word:
        raise Failure(f'flatten: found {typed!r}, expected "{word}"; nothing was done', ExitCode.CONFIG)


def _turn_on(config: Config, started_ns: int) -> tuple[Command, str]:
    """The command as it begins, and what is wrong where the state directory did not take it: no reason to cancel
    nothing."""
    from processes import kill_switch, shm_admin

    instance = shm_admin.instance_of(config)
    switch, unkept = kill_switch.of_instance(instance), ""
    try:
        generation = switch.set(True)
    except OSError as error:
        generation = switch.generation()
        unkept = f"{switch.path}: cannot be written: {error.strerror}; a restart would not know"
    return Command(started_ns, generation, kill_switch.canceled(instance)), unkept


def _end(result: Result, unkept: str, *, as_json: bool) -> None:
    _tell(result, as_json=as_json)
    if unkept:
        typer.echo(f"corelane: {unkept}", err=True)
    raise typer.Exit(result.code or (ExitCode.CONFIG if unkept else ExitCode.OK))


def _confirmed(config: Config, generation: int) -> None:
    """Print it with the engines' echoes. Raises Failure where one is missing."""
    from processes import kill_switch, shm_admin

    echoes = kill_switch.wait_for_echoes(shm_admin.instance_of(config), generation, ECHO_S)
    _print(generation, echoes)
    late = [name for name, echo in echoes.items() if echo < generation]
    if late:
        raise Failure(f"{', '.join(late)} did not confirm within {ECHO_S:g} s", ExitCode.NO_ANSWER)


def _print(generation: int, echoes: dict[str, int]) -> None:
    from processes import kill_switch

    typer.echo(f"kill switch {'ON' if kill_switch.is_on(generation) else 'off'} (generation {generation})")
    for name, echo in echoes.items():
        typer.echo(f"  {name}: {'obeys' if echo >= generation else f'has not confirmed, is at generation {echo}'}")
    if not echoes:
        typer.echo("  no engine runs")


# --- what came of it ------------------------------------------------------------------------------------------------
def _tell(result: Result, *, as_json: bool) -> None:
    command = result.command
    if as_json:
        venues = {venue.venue: _facts(venue, command.started_ns) for venue in result.venues}
        said = {"generation": command.generation, "echoes": result.echoes, "venues": venues, "done": not result.code}
        typer.echo(json.dumps(said))
    else:
        _print(command.generation, result.echoes)
        for venue in result.venues:
            for line in _lines(venue, command.started_ns):
                typer.echo(f"  {venue.venue}: {line}")
    for name in result.silent:
        typer.echo(
            f"corelane: {name} lives and has not obeyed: an order that it holds may leave when it goes on, and it "
            "cancels that one then; look again, or end it with kill -9",
            err=True,
        )
    for venue in result.venues:
        if not venue.done:
            typer.echo(f"corelane: {venue.venue}: {venue.trouble}", err=True)


def _facts(venue: VenueResult, started_ns: int) -> dict[str, Any]:
    pull, flat = venue.pull, venue.flat
    return {
        "done": venue.done,
        "skipped": venue.skipped,
        "trouble": venue.trouble,
        "orders_seen": len(pull.seen),
        "canceled_by_command": len(pull.asked - set(pull.left)),
        "ended_by_others": pull.by_others,
        "canceled_in_engine": venue.engine_canceled,
        "left": [[order.symbol, str(order.client_order_id)] for order in pull.left],
        "gone_after_s": _since(pull.gone_ns, started_ns),
        "verified_after_s": _since(pull.verified_ns, started_ns),
        "positions_found": [[row.symbol, row.quantity] for row in flat.found] if flat is not None else None,
        "positions_left": [[row.symbol, row.quantity] for row in flat.left] if flat is not None else None,
    }


def _lines(venue: VenueResult, started_ns: int) -> list[str]:
    if venue.skipped:
        return [venue.skipped]
    facts = _facts(venue, started_ns)
    if not venue.pull.listings:
        return ["not known what is open"]
    lines = [
        f"{facts['orders_seen']} orders of this instance seen; {facts['canceled_by_command']} canceled by this "
        f"command, {facts['ended_by_others']} ended before it came to them (engine, fill, the venue's own switch); "
        f"{len(facts['left'])} left"
    ]
    if venue.engine_canceled is not None:
        lines.append(f"its engine saw {venue.engine_canceled} of its orders canceled meanwhile, by whomever")
    if facts["gone_after_s"] is not None:
        lines.append(f"none open by the venue's word {facts['gone_after_s']:.3f} s after the command")
    if facts["verified_after_s"] is not None:
        lines.append(f"verified again after {facts['verified_after_s']:.3f} s: nothing sent before can come to life")
    lines += [f"left: {symbol} {order_id}" for symbol, order_id in facts["left"]]
    if venue.flat is not None:
        found = ", ".join(f"{quantity} {symbol}" for symbol, quantity in facts["positions_found"]) or "none"
        left = ", ".join(f"{quantity} {symbol}" for symbol, quantity in facts["positions_left"]) or "none"
        lines.append(f"positions: {found} found, {left} left by the venue's word")
    return lines


def _since(time_ns: int, started_ns: int) -> float | None:
    return round((time_ns - started_ns) / 1e9, 3) if time_ns else None
