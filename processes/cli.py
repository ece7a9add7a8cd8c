"""The command line: parse, load the config, hand over. `corelane --help` is enough to use it.

The rule: nothing is decided here. A command loads what it needs when it runs, so `--help` is quick; a failure that is
understood ends as one sentence on stderr and its exit code, never as a traceback. `main` is the console script, and the
supervisor starts its children by `python -m processes.cli`.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from processes import cli_doctor, cli_kill_switch, cli_systemd, completion, placement
from processes.cli_options import ConfigOption
from processes.config import Config, ProcessConfigManager
from processes.exit_codes import ExitCode, Failure, explain

if TYPE_CHECKING:
    from processes.app_service import AppService

app = typer.Typer(
    name="corelane",
    help="Shared-memory, low-latency crypto trading on one Linux host.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # brackets in a help text are text, and paragraphs flow
    context_settings={"help_option_names": ["-h", "--help"]},
)
shm_app = typer.Typer(
    help="Make, list, look into and remove the shared-memory segments of an instance.", no_args_is_help=True
)
config_app = typer.Typer(help="Check a config, show it as it was understood, print an example.", no_args_is_help=True)
app.add_typer(shm_app, name="shm")
app.add_typer(config_app, name="config")
app.add_typer(cli_kill_switch.app, name="kill-switch")
app.add_typer(cli_systemd.app, name="systemd")
app.add_typer(cli_doctor.tuning_app, name="host-tuning")
app.command("doctor")(cli_doctor.doctor)

VenueArgument = Annotated[str, typer.Argument(help="Venue as in the config, like binance.", metavar="VENUE")]


def _load(file: Path | None) -> Config:
    return ProcessConfigManager(file).load()


# --- processes ------------------------------------------------------------------------------------------------------
def _run_process(role: str, file: Path | None, venue: str | None = None) -> None:
    """One process of the set, in this very process, until SIGTERM."""
    if not placement.die_with_parent():
        raise Failure("the supervisor that started this process is gone", ExitCode.PROCESS_FAILED)
    process, config = ProcessConfigManager(file).load_for(role, venue)

    from processes.app_service import AppService

    service = AppService(process, config)
    raise typer.Exit(service.live(lambda: _main_of(role, service, venue)))


def _main_of(role: str, service: AppService, venue: str | None) -> int:
    main = importlib.import_module(f"processes.{role}").run
    return int(main(service) if venue is None else main(service, venue))


@app.command("market-server")
def market_server(venue: VenueArgument, config: ConfigOption = None) -> None:
    """Public market data of one venue into its market ring and book rows."""
    _run_process("market_server", config, venue)


@app.command("trading-engine")
def trading_engine(venue: VenueArgument, config: ConfigOption = None) -> None:
    """Orders of one venue: request ring to the wire, order events back."""
    _run_process("trading_engine", config, venue)


@app.command("position-server")
def position_server(venue: VenueArgument, config: ConfigOption = None) -> None:
    """Positions and balances of one venue into their tables."""
    _run_process("position_server", config, venue)


@app.command()
def trader(config: ConfigOption = None) -> None:
    """All strategies, in one plain loop."""
    _run_process("trader", config)


@app.command()
def logger(config: ConfigOption = None) -> None:
    """Every process's lines into one file, and into the systemd journal."""
    _run_process("logger", config)


@app.command()
def recorder(config: ConfigOption = None) -> None:
    """All records of all rings into files for research, which `corelane replay` reads."""
    _run_process("recorder", config)


@app.command()
def monitor(config: ConfigOption = None) -> None:
    """Metrics, health, a web page on loopback, and alerts."""
    _run_process("monitor", config)


@app.command()
def simulator(venue: VenueArgument, config: ConfigOption = None) -> None:
    """The venue itself, on a loopback port, speaking its real protocol."""
    _run_process("simulator", config, venue)


# --- the set --------------------------------------------------------------------------------------------------------
@app.command()
def up(config: ConfigOption = None) -> None:
    """Start the whole set in order and keep it up, in the foreground. Ctrl-C, SIGTERM or `corelane down` end it.

    A process that ends is started again, with growing pauses; one without a heartbeat for 10 s says where it hangs, is
    ended and started again, too. What would end the same way (config, credentials) is not.
    """
    from processes import supervisor

    raise typer.Exit(supervisor.up(_load(config)))


@app.command()
def down(config: ConfigOption = None) -> None:
    """End the set that `corelane up` started, and wait until it is gone."""
    from processes import supervisor

    raise typer.Exit(supervisor.down(_load(config)))


@app.command()
def latency(
    seconds: Annotated[
        float,
        typer.Option(min=0.0, max=86_400.0, help="Only what happens in so many seconds from now; 0: since start."),
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object, ns.")] = False,
    config: ConfigOption = None,
) -> None:
    """From market frame to order and back, hop by hop: p50 to p99.9 per venue, of a running set."""
    from processes import latency as latencies

    found = latencies.collect(_load(config), seconds)
    typer.echo(json.dumps(found, indent=2) if as_json else "\n".join(latencies.lines(found)))


@app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known as JSON and end.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, max=60.0, help="Seconds from look to look.")] = 1.0,
    config: ConfigOption = None,
) -> None:
    """The running set on the terminal: strategies, books, orders, processes, latency, problems. Keys: press ?."""
    from processes import top as screen

    raise typer.Exit(screen.run(_load(config), once=once, as_json=as_json, interval_s=interval))


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=1.0, max=86_400.0, help="How long to trade.")] = 60.0,
    recording: Annotated[
        list[str] | None,
        typer.Option(help="Play recorded frames instead of the generator: FILE or VENUE=FILE.", metavar="FILE"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated market flow; the same seed repeats it.")] = 1,
    speed: Annotated[float, typer.Option(min=0.01, max=1000.0, help="Of a recording; 2 plays it twice as fast.")] = 1.0,
    report: Annotated[Path | None, typer.Option(help="Write the report here as JSON too.", metavar="FILE.json")] = None,
    screen: Annotated[
        bool, typer.Option("--screen/--no-screen", help="The live screen (a terminal is needed).")
    ] = True,
    exchange: Annotated[str, typer.Option(help="Comma-separated venues to trade on.")] = "binance",
    symbols: Annotated[
        str, typer.Option(help="Comma-separated symbols to trade. Default: a BTC perpetual of each venue.")
    ] = "",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The simulator's port. Default: a free one.")
    ] = None,
    monitor: Annotated[bool, typer.Option("--monitor", help="With the web page of the monitor.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep logs and journals, and say where.")] = False,
    fault_plan: Annotated[
        str,
        typer.Option(
            help="By the seed: none; random: wire faults and kill -9 of the four processes; trader: wire faults and "
            "kill -9 of the trader, twice."
        ),
    ] = "none",
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="Trade this one instead of market making: file.py:Class or package.module:Class, on all symbols or on "
            "those behind an @; repeatable.",
            metavar="FILE:CLASS[@SYMBOL,...]",
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of each strategy that has it; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(
            help='Live actions, a line each: the second of the run, then words as after "corelane ctl trader".',
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Trade against the embedded simulator for a while, then compare our books with the venue's to the last digit.

    Needs no config, account or network. Exit code 0: everything agrees and nothing was left behind; 1: it does not.
    """
    from processes import control_arguments
    from processes import demo as demonstration

    exchanges = tuple(part for part in exchange.split(",") if part)
    options = demonstration.DemoOptions(
        seconds=seconds,
        recordings=tuple(recording or ()),
        seed=seed,
        speed=speed,
        report=report,
        screen=screen,
        exchanges=exchanges,
        symbols=tuple(part for part in symbols.split(",") if part) or demonstration.default_symbols(exchanges),
        port=port,
        monitor=monitor,
        keep=keep,
        fault_plan=fault_plan,
        strategies=tuple(strategy or ()),
        parameters=dict(control_arguments.key_value(text) for text in parameters or []),
        script=script,
    )
    raise typer.Exit(demonstration.run(options))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A recording, made by `corelane recorder`.", metavar="FILE.clr")],
    source: Annotated[
        list[str] | None,
        typer.Option(help="Only this ring or table, like binance.events; repeatable.", metavar="NAME"),
    ] = None,
    begin: Annotated[
        str, typer.Option("--from", help="From then on: UTC like 2026-01-31T12:00:00, or seconds since the beginning.")
    ] = "",
    end: Annotated[str, typer.Option("--to", help="Until then, in the same form.")] = "",
    info: Annotated[bool, typer.Option("--info", help="Only what the file holds: sources, times, losses.")] = False,
    parquet: Annotated[
        Path | None, typer.Option(help="Write one Parquet file per kind of record into this folder.", metavar="DIR")
    ] = None,
    strategy: Annotated[
        str, typer.Option(help="Let this strategy trade on it, offline: orders fill on paper.", metavar="FILE:CLASS")
    ] = "",
    instrument: Annotated[
        list[str] | None,
        typer.Option(help="With --strategy: its instruments, like binance:BTCUSDT. Default: all.", metavar="NAME"),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="With --strategy: a parameter of it; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    latency: Annotated[
        float, typer.Option(min=0.0, max=10_000.0, help="With --strategy: milliseconds to the venue, and back.")
    ] = 1.0,
    maker_fee: Annotated[str, typer.Option(help="With --strategy: fraction of the notional.")] = "0.0002",
    taker_fee: Annotated[str, typer.Option(help="With --strategy: fraction of the notional.")] = "0.0005",
    report: Annotated[
        Path | None, typer.Option(help="With --strategy: write the result here, with every fill.", metavar="FILE.json")
    ] = None,
) -> None:
    """Print a recording as JSON lines, export it to Parquet, or let a strategy trade on it, offline.

    A strategy sees the recorded market in time order; its orders wait behind what was shown at their price, and the
    recorded market never sees them. The same file and options give the same result.
    """
    from processes import replay as reading

    chosen = reading.choose(file, source or [], begin, end)
    if strategy:
        from processes import control_arguments, replay_strategy

        options = replay_strategy.PaperOptions(
            strategy=strategy,
            instruments=tuple(instrument or ()),
            parameters=dict(control_arguments.key_value(text) for text in parameters or []),
            latency_ms=latency,
            maker_fee=replay_strategy.fee("--maker-fee", maker_fee),
            taker_fee=replay_strategy.fee("--taker-fee", taker_fee),
        )
        result = replay_strategy.run(chosen, options)
        for line in replay_strategy.lines(result, options):
            typer.echo(line)
        if report is not None:
            replay_strategy.write_report(result, report)
        if result.stopped:
            raise typer.Exit(ExitCode.DIFFERENCE)
        return
    if parquet is not None:
        for path, count in reading.to_parquet(chosen, parquet):
            typer.echo(f"{path}: {count:,} records")
        return
    for line in reading.info(chosen) if info else reading.lines(chosen):
        typer.echo(line)
    if chosen.recording.damaged:
        raise Failure(f"{file}: {chosen.recording.damaged} damaged blocks were left out", ExitCode.DIFFERENCE)


@app.command("new-strategy")
def new_strategy(
    name: Annotated[str, typer.Argument(help="Lower-case words, like mean_reversion.", metavar="NAME")],
    folder: Annotated[Path, typer.Option(help="Where to; made if it is missing.", metavar="DIR")] = Path(),
) -> None:
    """Write a strategy that trades at once, and its test, to be changed into your own. Overwrites nothing."""
    from processes import control_arguments
    from processes import new_strategy as writer

    command = control_arguments.called_as()
    strategy, test, kind = writer.write(name, folder)
    typer.echo(f"{strategy} and {test} are written. Test it, then see it trade:")
    typer.echo(f"  {Path(command).with_name('pytest')} {test}")
    typer.echo(f"  {command} demo --seconds 20 --strategy {strategy}:{kind}")


# --- control --------------------------------------------------------------------------------------------------------
@app.command()
def ctl(
    process: Annotated[
        str,
        typer.Argument(
            help='Processes, like trader or trader,trading_engine.binance; or "all".',
            autocompletion=completion.processes,
        ),
    ],
    command: Annotated[
        str,
        typer.Argument(help='What it shall do; "commands" lists what it knows.', autocompletion=completion.commands),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="key=value, read as JSON where it is JSON; a strategy's name may stand alone.",
            autocompletion=completion.strategies,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answers as one JSON object.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=60.0, help="Seconds to wait for each answer.")] = 2.0,
    keep: Annotated[
        bool | None, typer.Option("--keep/--cancel", help="Of `trader restart`: whether open orders stay meanwhile.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Send a command to one running process, several or all, and print the answers.

    The trader's own: set-param, set-limit, reset-loss, pause, resume, stop, each with a strategy's NAME; swap-strategy
    NAME [FILE.py:Class]; cancel-all; restart [--keep | --cancel], which waits and says how long there were no quotes.
    A trading engine's: cancel-all, audit, risk-status, risk-reset.
    Everybody's: status, commands, log-level level=debug [component=NAME], shutdown.
    """
    from processes import control, control_arguments, control_table, trader_restart

    run_dir = _load(config).instance.run_dir
    given = control_arguments.parse(command, arguments or [])
    if keep is not None:
        if command != "restart":
            raise Failure("--keep and --cancel: found with another command, expected with restart", ExitCode.CONFIG)
        given["orders"] = "keep" if keep else "cancel"
    names = control.running(run_dir) if process == "all" else list(dict.fromkeys(filter(None, process.split(","))))
    if not names:
        raise Failure(f"nothing is running: no control socket in {run_dir}", ExitCode.NO_ANSWER)
    answers: dict[str, Any] = {}
    failed: dict[str, control.ControlError] = {}
    for name in names:
        try:
            answers[name] = control.ask(run_dir, name, command, given, timeout)
            if answers[name].get("restarting"):
                answers[name]["restart"] = trader_restart.follow(run_dir, answers[name]["pid"])
        except control.ControlError as error:
            failed[name] = error
    if as_json:
        typer.echo(json.dumps({"answers": answers, "errors": {name: str(error) for name, error in failed.items()}}))
    else:
        for line in control_table.lines(answers):
            typer.echo(line)
        for sentence in failed.values():
            typer.echo(f"corelane: {sentence}", err=True)
    refused = all(isinstance(error, control.CommandRefused) for error in failed.values())
    raise typer.Exit(ExitCode.OK if not failed else ExitCode.DIFFERENCE if refused else ExitCode.NO_ANSWER)


app.command()(cli_kill_switch.flatten)


# --- shared memory --------------------------------------------------------------------------------------------------
@shm_app.command("create")
def shm_create(config: ConfigOption = None) -> None:
    """Make every segment the config needs. What exists in the same shape stays as it is."""
    from processes import shm_admin

    names = shm_admin.create(_load(config))
    typer.echo(f"{len(names)} segments ready")


@shm_app.command("ls")
def shm_list(config: ConfigOption = None) -> None:
    """Each segment with its size, writer, cursor and what its consumer has not taken yet."""
    from processes import shm_admin

    lines = shm_admin.listing(shm_admin.instance_of(_load(config)))
    typer.echo(f"{'segment':<44} {'kind':<15} {'bytes':>12} {'capacity':>9} {'writer':>8} {'cursor':>14} {'lag':>6}")
    for line in lines:
        lag = "-" if line.lag is None else str(line.lag)
        typer.echo(
            f"{line.name:<44} {line.kind:<15} {line.bytes:>12,} {line.capacity:>9,} {line.writer_pid or '-':>8} "
            f"{line.cursor:>14,} {lag:>6}" + (f"  {line.problem}" if line.problem else "")
        )


@shm_app.command("rm")
def shm_remove(
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Also while processes of the instance run.")] = False,
) -> None:
    """Remove every segment of the instance. Ids, epochs and journals in the state directory stay."""
    from processes import shm_admin

    typer.echo(f"{len(shm_admin.remove(_load(config), force=force))} segments removed")


@shm_app.command("dump")
def shm_dump(
    segment: Annotated[str, typer.Argument(help="Logical name as in `shm ls`, for example binance.events.")],
    config: ConfigOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
) -> None:
    """What a segment holds, as JSON lines: records, rows, words or counters. Reads along without disturbing anybody."""
    from processes import shm_admin, shm_dump

    instance = shm_admin.instance_of(_load(config))
    try:
        for line in shm_dump.lines(shm_admin.segment_of(instance, segment), follow=follow):
            typer.echo(line)
    except KeyboardInterrupt:
        raise typer.Exit from None
    finally:
        instance.close()


# --- config ---------------------------------------------------------------------------------------------------------
@config_app.command("check")
def config_check(config: ConfigOption = None) -> None:
    """Read the whole file and report every mistake in it."""
    loaded = _load(config)
    typer.echo(f"{loaded.path}: good; {len(loaded.processes())} processes, {len(loaded.strategies)} strategies")


@config_app.command("show")
def config_show(config: ConfigOption = None) -> None:
    """The config as it was understood, defaults and paths filled in, as JSON."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(_load(config)), indent=2).decode())


@config_app.command("example")
def config_example() -> None:
    """Print a config with every key, ready to be edited."""
    from processes import config_example

    typer.echo(config_example.text(), nl=False)


# --- entry ----------------------------------------------------------------------------------------------------------
def main() -> None:
    """Run the command line. A known failure is one sentence on stderr and its exit code."""
    try:
        app()
    except Exception as error:
        known = explain(error)
        if known is None:
            raise
        sentence, code = known
        typer.echo(f"corelane: {sentence}", err=True)
        sys.exit(int(code))


if __name__ == "__main__":
    main()
