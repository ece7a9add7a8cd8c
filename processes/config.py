"""One TOML file, read and checked as a whole before anything starts.

The rule: a config is right or it is refused, with every mistake in one report (key, what was found, what was
expected). Secrets never stand in it; see `secrets.py`. Read by every process at its start and by `corelane config`.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from processes.config_reading import MISSING, FromEnvironment, check_tree, substitute, suggestion
from processes.config_rules import broken_rules
from processes.config_salvage import not_beside, sound_part
from processes.config_schema import (
    Config,
    CoreConfig,
    ExpectConfig,
    InstanceConfig,
    LogConfig,
    MonitorConfig,
    RiskConfig,
    SimulatorConfig,
    StrategyConfig,
    StrategyLimits,
    TraderConfig,
    VenueConfig,
)

__all__ = [
    "Config",
    "ConfigError",
    "CoreConfig",
    "ExpectConfig",
    "InstanceConfig",
    "LogConfig",
    "MonitorConfig",
    "ProcessConfigManager",
    "RiskConfig",
    "SimulatorConfig",
    "StrategyConfig",
    "StrategyLimits",
    "TraderConfig",
    "VenueConfig",
    "config_path",
    "load_config",
]

ROLES_PER_VENUE = ("market_server", "trading_engine", "position_server", "simulator")


class ConfigError(Exception):
    """All mistakes of one config file; `problems` holds one sentence for each."""

    def __init__(self, problems: list[str], path: str = "") -> None:
        self.problems = problems
        self.path = path
        super().__init__("\n".join(problems))

    def __str__(self) -> str:
        head = f"{self.path}: " if self.path else ""
        if len(self.problems) == 1:
            return head + self.problems[0]
        return f"{head}{len(self.problems)} mistakes\n" + "\n".join(f"  {problem}" for problem in self.problems)


def config_path(given: str | os.PathLike[str] | None) -> Path:
    """The file to read: the one given, else $CORELANE_CONFIG, else corelane.toml here."""
    return Path(given or os.environ.get("CORELANE_CONFIG") or "corelane.toml")


class ProcessConfigManager:
    """Finds and reads the one file that every process of an instance shares."""

    def __init__(self, given: str | os.PathLike[str] | None = None) -> None:
        """`given`: the file the command line named, if it named one."""
        self.path = config_path(given)

    def load(self) -> Config:
        """The whole tree. Raises ConfigError with all mistakes."""
        return load_config(self.path)

    def load_for(self, role: str, venue: str | None) -> tuple[str, Config]:
        """The name of the process that has this role (at this venue), and the tree. Raises ConfigError also where the
        file does not ask for such a process."""
        config = self.load()
        process = role if venue is None else f"{role}.{venue}"
        if process not in config.processes():
            raise ConfigError(
                [f"no process {process} in this file{suggestion(process, config.processes())}"], config.path
            )
        return process, config


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read, substitute, check, complete. Raises ConfigError with all mistakes; the result has absolute paths."""
    file = Path(path)
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(["there is no such file; `corelane config example` prints one"], str(file)) from None
    except OSError as error:
        raise ConfigError([f"cannot be read: {error.strerror}; expected a TOML file"], str(file)) from None
    except UnicodeDecodeError:
        raise ConfigError(["is not UTF-8 text; expected a TOML file"], str(file)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"is not TOML: {error}"], str(file)) from None
    problems: list[str] = []
    tree = substitute(tree, "", problems)
    _flatten_cores(tree)
    check_tree(tree, Config, "", problems)
    if problems:
        sound = sound_part(tree, Config)
        rest = broken_rules(_converted(sound)) if sound is not MISSING else []
        raise ConfigError([*problems, *not_beside(rest, problems)], str(file))
    config = _converted(tree)
    problems = broken_rules(config)
    if problems:
        raise ConfigError(problems, str(file))
    return _completed(config, file.absolute())


def _converted(tree: Any) -> Config:
    return msgspec.convert(_plain(tree), Config, strict=False)


def _flatten_cores(tree: dict[str, Any]) -> None:
    """To TOML, `market_server.binance = {...}` is a table in a table; to us it is one name with a dot inside."""
    cores = tree.get("cores")
    if not isinstance(cores, dict):
        return
    flat: dict[str, Any] = {}
    for name, value in cores.items():
        if (
            name in ROLES_PER_VENUE
            and isinstance(value, dict)
            and all(isinstance(item, dict) for item in value.values())
        ):
            flat.update({f"{name}.{venue}": item for venue, item in value.items()})
        else:
            flat[name] = value
    tree["cores"] = flat


def _plain(value: Any) -> Any:
    """The tree with plain texts again: only check_tree needs to know which came from the environment."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, FromEnvironment) else value


def _completed(config: Config, file: Path) -> Config:
    """Paths made absolute (relative ones count from the file's directory), simulator URLs filled in."""
    replace = msgspec.structs.replace
    base = file.parent

    def absolute(text: str) -> str:
        return os.path.normpath(base / Path(text).expanduser())

    name = config.instance.name
    state_dir = absolute(config.instance.state_dir or f"~/.local/state/corelane/{name}")
    run_dir = absolute(config.instance.run_dir or f"{os.environ.get('XDG_RUNTIME_DIR') or '/run'}/corelane/{name}")
    simulators = {
        venue: replace(simulator, recording=absolute(simulator.recording) if simulator.recording else None)
        for venue, simulator in config.simulators.items()
    }
    return replace(
        config,
        path=str(file),
        instance=replace(config.instance, run_dir=run_dir, state_dir=state_dir),
        log=replace(config.log, directory=absolute(config.log.directory or f"{state_dir}/log")),
        recorder=replace(config.recorder, directory=absolute(config.recorder.directory or f"{state_dir}/recordings")),
        simulators=simulators,
        venues={venue: _with_urls(item, simulators.get(venue)) for venue, item in config.venues.items()},
        strategies=[
            replace(item, module=absolute(item.module)) if item.module.rpartition(":")[0].endswith(".py") else item
            for item in config.strategies
        ],
    )


def _with_urls(venue: VenueConfig, simulator: SimulatorConfig | None) -> VenueConfig:
    """The simulator serves everything on one port; the venue's own paths are appended by its endpoints module."""
    if simulator is None or venue.environment != "simulator":
        return venue
    where = f"[{simulator.host}]" if ":" in simulator.host else simulator.host
    return msgspec.structs.replace(
        venue,
        rest_url=venue.rest_url or f"http://{where}:{simulator.port}",
        stream_url=venue.stream_url or f"ws://{where}:{simulator.port}",
        ws_api_url=venue.ws_api_url or f"ws://{where}:{simulator.port}",
    )
