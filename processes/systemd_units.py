"""The unit files of `systemd/`, and the drop-ins that `corelane.toml` makes of them.

The rule: the unit files say what is the same everywhere, and nothing of a host or a venue; cores, scheduling, folders,
credentials and which units the target wants come from the config and stand in drop-ins alone. So the paper set and the
live set are the same files with another config. Rendering reads the config and writes nothing.
Called by `systemd_install.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from processes import placement
from processes.config import Config
from processes.exit_codes import ExitCode, Failure
from processes.host_reading import Host

UNIT_FOLDER: Final = Path(__file__).parent.parent / "systemd"
UNITS: Final = "etc/systemd/system"
DROP_IN: Final = "50-corelane.conf"
PROGRAM: Final = "/opt/corelane/.venv/bin/corelane"
"""What the unit files start; replaced by the program that renders where that is another."""
CREDENTIALS: Final = "/etc/corelane/credentials"
SERVICE_FOLDERS: Final = ("/var/lib/corelane", "/run/corelane")
"""Writable by every unit, made by tmpfiles.d."""
OTHERS: Final = ("system.slice", "user.slice", "init.scope")
HOLDS_CREDENTIALS: Final = ("trading_engine", "position_server")
OBSERVER_ROLES: Final = ("logger", "recorder", "monitor", "simulator")
HIDDEN: Final = {
    "/home": "ProtectHome=",
    "/root": "ProtectHome=",
    "/run/user": "ProtectHome=",
    "/tmp": "PrivateTmp=",
    "/var/tmp": "PrivateTmp=",
}
"""Folders that the units do not see, and the setting that hides them."""


def unit_of(process: str) -> str:
    """The systemd unit of a process: "market_server.binance" → "corelane-market-server@binance.service"."""
    role, _, venue = process.partition(".")
    return f"corelane-{role.replace('_', '-')}{f'@{venue}' if venue else ''}.service"


def program() -> str:
    """The `corelane` of this environment, as the units shall start it."""
    return str(Path(sys.executable).with_name("corelane"))


def render(config: Config, *, isolate: bool = False) -> dict[str, str]:
    """{path below the root: text} of every unit and drop-in of this config. Raises Failure.

    `isolate`: also keep everything that is not corelane off the pinned cores, by AllowedCPUs= of the other slices.
    """
    files = {**_units(), **_drop_ins(config, isolate)}
    files["etc/tmpfiles.d/corelane.conf"] += "".join(
        f"d {_quoted(path)} 0700 corelane corelane -\n" for path in _extra_folders(config)
    )
    return files


def problems(config: Config) -> list[str]:
    """One sentence for each thing with which the rendered units would not start."""
    found = []
    named = {"the config": config.path, "the program": program()} | _explicit_folders(config)
    for what, path in named.items():
        for folder, setting in HIDDEN.items():
            if Path(path).is_relative_to(folder):
                found.append(
                    f"{what}: found {path}, expected a place outside of {folder}: {setting} hides it from the units"
                )
    return found


def missing_credentials(config: Config) -> list[str]:
    """Files that LoadCredential= will ask for and that are not there."""
    files = [path for name in _credential_names(config) for _, path in _credential_files(name)]
    if config.observers.monitor and config.monitor.webhook is not None:
        files.append(_url_file(config.monitor.webhook)[1])
    return [path for path in files if not Path(path).exists()]


# --- units ----------------------------------------------------------------------------------------------------------
def _units() -> dict[str, str]:
    if not UNIT_FOLDER.is_dir():
        raise Failure(f"{UNIT_FOLDER}: no unit files, expected corelane to run from its source folder", ExitCode.CONFIG)
    files = sorted(UNIT_FOLDER.glob("corelane*.*"))
    places = {".sysusers": "etc/sysusers.d/corelane.conf", ".tmpfiles": "etc/tmpfiles.d/corelane.conf"}
    return {
        places.get(file.suffix, f"{UNITS}/{file.name}"): file.read_text("utf-8").replace(PROGRAM, program())
        for file in files
    }


# --- drop-ins -------------------------------------------------------------------------------------------------------
def _drop_ins(config: Config, isolate: bool) -> dict[str, str]:
    wanted = [unit_of(process) for process in config.processes()]
    for process, unit in zip(config.processes(), wanted, strict=True):
        template = unit if "@" not in unit else unit.partition("@")[0] + "@.service"
        if not (UNIT_FOLDER / template).exists():
            raise Failure(f"{process}: no unit file {template} in {UNIT_FOLDER}", ExitCode.CONFIG)
    texts = {"corelane.target": "[Unit]\n" + "".join(f"Wants={unit}\n" for unit in wanted)}
    texts["corelane.slice"] = f"[Slice]\nAllowedCPUs={_cpu_list(_slice_cores(config))}\n"
    for unit in ("corelane-shm.service", "corelane-kill-switch.service"):
        texts[unit] = _service([*_common(config), f"CPUAffinity={_housekeeping(config)}"])
    texts["corelane-kill-switch.service"] += "".join(
        f"{line}\n" for name in _credential_names(config) for line in _load_credential(name)
    )
    for process, unit in zip(config.processes(), wanted, strict=True):
        texts[unit] = _service(_common(config) + _placed(config, process) + _credentials(config, process))
    others = _cpu_list(_others(config))
    if isolate and others:
        texts |= {name: f"[{name.rpartition('.')[2].title()}]\nAllowedCPUs={others}\n" for name in OTHERS}
    return {f"{UNITS}/{unit}.d/{DROP_IN}": text for unit, text in texts.items()}


def _service(lines: list[str]) -> str:
    return "[Service]\n" + "".join(f"{line}\n" for line in lines)


def _common(config: Config) -> list[str]:
    return [
        f"Environment=CORELANE_CONFIG={_quoted(config.path)}",
        *(f"ReadWritePaths={_quoted(path)}" for path in _extra_folders(config)),
    ]


def _placed(config: Config, process: str) -> list[str]:
    """Where the process runs, how it is scheduled, and how late the kernel shoots it when memory is short."""
    placed, role = config.core(process), process.partition(".")[0]
    pinned = placed.core is not None
    observer = role in OBSERVER_ROLES
    lines = [
        # The empty line forgets what a vendor drop-in said: affinities add up.
        "CPUAffinity=",
        f"CPUAffinity={placed.core if pinned else _housekeeping(config)}",
        f"CPUSchedulingPolicy={placed.scheduling}",
    ]
    if placed.scheduling == "fifo":
        # ZeroMQ sets the inherited class of its thread once more, and aborts where that is refused.
        lines += [f"CPUSchedulingPriority={placed.priority}", f"LimitRTPRIO={placed.priority}", "RestrictRealtime=no"]
    lines += [
        f"Nice={5 if observer else -10 if pinned else 0}",
        # Trading processes go last: their deaths cost quotes; an observer's costs a gap in a file.
        f"OOMScoreAdjust={200 if observer else -900 if pinned else -800}",
    ]
    if pinned:
        lines.append("LimitMEMLOCK=infinity")
    return lines


def _credentials(config: Config, process: str) -> list[str]:
    role, _, venue = process.partition(".")
    if role == "monitor" and config.monitor.webhook is not None:
        return ["LoadCredential={}:{}".format(*_url_file(config.monitor.webhook))]
    name = config.venues[venue].credentials if role in HOLDS_CREDENTIALS else None
    return _load_credential(name) if name else []


def _credential_names(config: Config) -> list[str]:
    return sorted({venue.credentials for venue in config.venues.values() if venue.credentials})


def _load_credential(name: str) -> list[str]:
    return [f"LoadCredential={credential}:{path}" for credential, path in _credential_files(name)]


def _url_file(name: str) -> tuple[str, str]:
    return f"{name}.url", f"{CREDENTIALS}/{name}.url"


def _credential_files(name: str) -> list[tuple[str, str]]:
    return [(f"{name}.{half}", f"{CREDENTIALS}/{name}.{half}") for half in ("api_key", "secret")]


# --- cores ----------------------------------------------------------------------------------------------------------
def _pinned(config: Config) -> set[int]:
    return {placed.core for placed in config.cores.values() if placed.core is not None}


def _slice_cores(config: Config) -> set[int]:
    """Every core that a unit of the set, or a library's thread in it, is put on."""
    return _pinned(config) | placement.housekeeping_cores(config)


def _others(config: Config) -> set[int]:
    """Cores for everything that is not corelane; empty where no core is left for it."""
    spinning = {placed.core for placed in config.cores.values() if placed.wait == "spin" and placed.core is not None}
    return Host().cores - spinning


def _housekeeping(config: Config) -> str:
    return _cpu_list(placement.housekeeping_cores(config))


def _cpu_list(cores: set[int]) -> str:
    return " ".join(map(str, sorted(cores)))


# --- folders --------------------------------------------------------------------------------------------------------
def _explicit_folders(config: Config) -> dict[str, str]:
    """Folders that the config names. One that it leaves out is the service user's own, whoever renders."""
    part, home = config.instance, Path.home() / ".local/state/corelane" / config.instance.name
    run = Path(os.environ.get("XDG_RUNTIME_DIR") or "/run") / "corelane" / part.name
    folders = {
        "instance.run_dir": (part.run_dir, run),
        "instance.state_dir": (part.state_dir, home),
        "log.directory": (config.log.directory, home / "log"),
        "recorder.directory": (config.recorder.directory, home / "recordings"),
    }
    return {key: path for key, (path, default) in folders.items() if Path(path) != default}


def _extra_folders(config: Config) -> list[str]:
    """Explicit folders that no other writable folder holds already."""
    writable = list(SERVICE_FOLDERS)
    for path in sorted(_explicit_folders(config).values()):
        if not any(Path(path).is_relative_to(folder) for folder in writable):
            writable.append(path)
    return writable[len(SERVICE_FOLDERS) :]


def _quoted(path: str) -> str:
    """A path as one word of a unit file: % doubled, quoted where it has spaces."""
    text = path.replace("%", "%%")
    return f'"{text}"' if " " in text else text
