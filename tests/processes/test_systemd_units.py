"""Units say what is the same everywhere, drop-ins what `corelane.toml` wants, and systemd finds no fault in them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import systemd_install
from processes.config import Config, load_config
from processes.exit_codes import NO_RESTART, ExitCode, Failure
from processes.host_reading import Host
from processes.systemd_units import UNIT_FOLDER, missing_credentials, problems, render, unit_of

DROP_INS = "etc/systemd/system/{}.d/50-corelane.conf"
PROCESS_UNITS = sorted(
    file
    for file in UNIT_FOLDER.glob("corelane-*.service")
    if "Type=notify" in file.read_text() and "User=corelane" in file.read_text()
)
SET_UNITS = sorted(file for file in UNIT_FOLDER.glob("corelane-*.service") if "User=corelane" in file.read_text())
PLACED = """
[cores]
trader = { core = 0, wait = "spin" }
trading_engine.binance = { core = 1, wait = "backoff", scheduling = "fifo", priority = 40 }
"""


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "cores", property(lambda _: set(range(4))))


def drop_in(config: Config, unit: str) -> list[str]:
    return render(config)[DROP_INS.format(unit)].splitlines()


def live(write_config: Callable[..., Path]) -> Config:
    path = write_config()
    text = path.read_text().partition("[simulators.binance]")[0]
    path.write_text(text + 'environment = "testnet"\ncredentials = "binance-main"\n')
    return load_config(path)


def test_a_process_has_the_unit_of_its_name() -> None:
    assert unit_of("market_server.binance") == "corelane-market-server@binance.service"
    assert unit_of("trader") == "corelane-trader.service"


def test_a_pinned_process_gets_its_core_class_and_locked_memory(write_config: Callable[..., Path]) -> None:
    config = load_config(write_config(PLACED))
    trader = drop_in(config, "corelane-trader.service")
    assert {"CPUAffinity=0", "CPUSchedulingPolicy=other", "LimitMEMLOCK=infinity", "OOMScoreAdjust=-900"} <= set(trader)
    engine = drop_in(config, "corelane-trading-engine@binance.service")
    assert {"CPUAffinity=1", "CPUSchedulingPolicy=fifo", "CPUSchedulingPriority=40"} <= set(engine)


def test_a_process_without_a_core_stays_off_those_on_which_something_spins(write_config: Callable[..., Path]) -> None:
    config = load_config(write_config(PLACED))
    assert "CPUAffinity=1 2 3" in drop_in(config, "corelane-position-server@binance.service")
    assert "CPUAffinity=1 2 3" in drop_in(config, "corelane-shm.service")


def test_the_slice_may_use_every_core_of_the_set_and_the_others_can_be_kept_off(
    write_config: Callable[..., Path],
) -> None:
    config = load_config(write_config(PLACED))
    assert "AllowedCPUs=0 1 2 3" in drop_in(config, "corelane.slice")
    assert DROP_INS.format("system.slice") not in render(config)
    isolated = render(config, isolate=True)
    assert isolated[DROP_INS.format("system.slice")] == "[Slice]\nAllowedCPUs=1 2 3\n"
    assert isolated[DROP_INS.format("init.scope")] == "[Scope]\nAllowedCPUs=1 2 3\n"


def test_the_paper_set_wants_simulators_and_no_credentials(config: Config) -> None:
    assert "Wants=corelane-simulator@binance.service" in drop_in(config, "corelane.target")
    assert not any("LoadCredential" in text for text in render(config).values())
    assert missing_credentials(config) == []


def test_the_live_set_has_credentials_where_orders_are_sent_and_nowhere_else(
    write_config: Callable[..., Path],
) -> None:
    config = live(write_config)
    holders = {path.split("/")[3] for path, text in render(config).items() if "LoadCredential=" in text}
    assert holders == {
        "corelane-trading-engine@binance.service.d",
        "corelane-position-server@binance.service.d",
        "corelane-kill-switch.service.d",
    }
    assert not any("simulator" in line for line in drop_in(config, "corelane.target"))
    assert missing_credentials(config) == [
        f"/etc/corelane/credentials/binance-main.{half}" for half in ("api_key", "secret")
    ]


def test_the_url_of_alerts_is_a_credential_of_the_monitor_alone(write_config: Callable[..., Path]) -> None:
    config = load_config(write_config('[observers]\nmonitor = true\n[monitor]\nwebhook = "alerts"\n'))
    url = "LoadCredential=alerts.url:/etc/corelane/credentials/alerts.url"
    assert url in drop_in(config, "corelane-monitor.service")
    assert [path for path, text in render(config).items() if url in text] == [
        DROP_INS.format("corelane-monitor.service")
    ]
    assert missing_credentials(config) == ["/etc/corelane/credentials/alerts.url"]
    assert "Wants=corelane-monitor.service" in drop_in(config, "corelane.target")


def test_folders_that_the_config_names_are_made_and_writable(config: Config) -> None:
    state = config.instance.state_dir
    assert f"ReadWritePaths={state}" in drop_in(config, "corelane-trader.service")
    assert f"d {state} 0700 corelane corelane -" in render(config)["etc/tmpfiles.d/corelane.conf"]


def test_what_a_unit_cannot_see_is_named_before_it_fails(config: Config) -> None:
    assert config.path.startswith("/tmp/")
    assert any(sentence.startswith(f"the config: found {config.path}") for sentence in problems(config))


def test_a_process_without_a_unit_file_is_one_sentence(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, "processes", lambda _self: ["dreamer"])
    with pytest.raises(Failure, match=r"no unit file corelane-dreamer\.service"):
        render(config)


@pytest.mark.parametrize("file", PROCESS_UNITS, ids=lambda file: file.name)
def test_a_unit_restarts_on_what_may_pass_and_stays_down_on_what_may_not(file: Path) -> None:
    text = file.read_text()
    prevented = re.search(r"^RestartPreventExitStatus=(.*)$", text, re.MULTILINE)
    assert prevented is not None
    assert {int(code) for code in prevented[1].split()} == set(NO_RESTART)
    assert f"RestartForceExitStatus={int(ExitCode.RESTART)}\n" in text
    for line in ("WatchdogSec=", "StartLimitBurst=", "OnFailure=corelane-failed@", "PartOf=corelane.target"):
        assert line in text


@pytest.mark.parametrize("file", SET_UNITS, ids=lambda file: file.name)
def test_every_unit_is_hardened_by_the_same_lines(file: Path) -> None:
    def hardening(unit: Path) -> str:
        return unit.read_text().partition("# --- who it is")[2].partition("[Install]")[0].strip()

    assert "RemoveIPC=no" in hardening(file)
    assert hardening(file) == hardening(SET_UNITS[0])


def test_systemd_finds_no_fault_in_any_rendered_unit(config: Config, directory: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    root = directory / "root"
    systemd_install.install(systemd_install.compare(render(config), root), root)
    units = root / "etc/systemd/system"
    names = [unit_of(process) for process in config.processes()]
    files = [
        *(f"./{file.name}" for file in sorted(units.glob("corelane*")) if file.is_file()),
        *(f"./{name}" for name in names),
    ]
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", *files],
        cwd=units,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
