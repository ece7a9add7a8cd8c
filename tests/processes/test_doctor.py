"""The doctor reads a host back: each knob right and wrong, on a composed /proc and /sys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from processes import cli, doctor, jitter
from processes.config import Config, load_config
from processes.doctor import exit_code, findings, judged
from processes.doctor_finding import Finding, Severity, shown
from processes.exit_codes import ExitCode
from processes.host_reading import Host
from processes.jitter import Jitter

CPU = "sys/devices/system/cpu"
TUNED = {
    f"{CPU}/online": "0-7",
    f"{CPU}/isolated": "2-3",
    f"{CPU}/nohz_full": "2-3",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "sys/kernel/mm/transparent_hugepage/defrag": "always defer defer+madvise [madvise] never",
    "sys/kernel/mm/ksm/run": "0",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "performance",
    f"{CPU}/cpu2/cpuidle/state1/latency": "133",
    f"{CPU}/cpu2/cpuidle/state1/disable": "1",
    "sys/devices/virtual/workqueue/cpumask": "f3",
    "sys/devices/virtual/workqueue/writeback/cpumask": "000000f3",
    "proc/irq/default_smp_affinity": "00000000,000000f3",
    "proc/irq/24/effective_affinity_list": "0-1",
    "proc/sys/kernel/watchdog_cpumask": "0-1,4-7",
    "proc/sys/vm/swappiness": "10",
    "proc/sys/kernel/numa_balancing": "0",
    "proc/sys/kernel/nmi_watchdog": "0",
    "proc/sys/kernel/sched_rt_runtime_us": "950000",
    "proc/sys/net/core/busy_poll": "50",
    "proc/sys/net/core/busy_read": "50",
    "proc/sys/net/ipv4/tcp_slow_start_after_idle": "0",
    "proc/swaps": "Filename Type Size Used Priority",
    "proc/self/limits": "Max locked memory         unlimited            unlimited            bytes",
    "proc/2/comm": "kthreadd",
    "proc/30/comm": "rcuop/2",
    "proc/31/comm": "rcuop/3",
    "proc/400/comm": "chronyd",
    "dev/shm/.keep": "",
}
PLACED = """
[cores]
trader = { core = 2, wait = "spin" }
market_server.binance = { core = 3, wait = "spin" }
"""


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "cores", property(lambda _: set(range(8))))


@pytest.fixture
def placed(write_config: Callable[..., Path]) -> Config:
    return load_config(write_config(PLACED))


def host(root: Path, changes: dict[str, str] | None = None) -> Host:
    for name, text in (TUNED | (changes or {})).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return Host(root)


def bad(found: list[Finding]) -> dict[str, Severity]:
    return {finding.check: finding.severity for finding in found if finding.severity > Severity.GOOD}


def test_a_tuned_host_gets_no_word(tmp_path: Path, placed: Config) -> None:
    found = findings(host(tmp_path), placed)
    assert bad(found) == {}
    assert exit_code(found) is ExitCode.OK


@pytest.mark.parametrize(
    ("path", "text", "check", "severity"),
    [
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet", "clock source", Severity.SERIOUS),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "transparent huge pages",
            Severity.SERIOUS,
        ),
        (f"{CPU}/cpu0/cpufreq/scaling_governor", "powersave", "frequency governor", Severity.SERIOUS),
        (f"{CPU}/cpu2/cpuidle/state1/disable", "0", "C-states", Severity.SERIOUS),
        (f"{CPU}/isolated", "3", "isolated cores", Severity.SERIOUS),
        (f"{CPU}/nohz_full", "(null)", "tickless cores", Severity.WARNING),
        ("sys/devices/virtual/workqueue/writeback/cpumask", "ff", "write-back work", Severity.WARNING),
        ("proc/irq/default_smp_affinity", "ff", "new interrupts", Severity.WARNING),
        ("proc/irq/24/effective_affinity_list", "3", "device interrupts", Severity.SERIOUS),
        ("proc/30/comm", "other", "RCU callbacks", Severity.WARNING),
        ("proc/swaps", "Filename\n/dev/sda2 partition 1 0 -2", "swap", Severity.WARNING),
        ("proc/sys/vm/swappiness", "60", "swappiness", Severity.WARNING),
        ("proc/400/comm", "cron", "wall clock", Severity.SERIOUS),
        (
            f"{CPU}/cpu2/topology/thread_siblings_list",
            "2,6",
            "core 2: hardware thread beside it",
            Severity.SERIOUS,
        ),
        ("proc/self/limits", "Max locked memory  8388608  8388608  bytes", "locked memory", Severity.WARNING),
        ("proc/stat", "cpu 1 2 3 4 5 6 7 88 0 0", "stolen time", Severity.WARNING),
    ],
)
def test_one_knob_that_is_wrong_is_named_with_its_cost_and_its_cure(
    tmp_path: Path, placed: Config, path: str, text: str, check: str, severity: Severity
) -> None:
    found = findings(host(tmp_path, {path: text}), placed)
    assert bad(found) == {check: severity}
    assert found[0].cost and found[0].fix and found[0].wanted
    assert exit_code(found) is (ExitCode.HOST_UNTUNED if severity is Severity.SERIOUS else ExitCode.DIFFERENCE)


def test_a_machine_without_a_knob_is_not_blamed_for_it(tmp_path: Path) -> None:
    (tmp_path / "proc/400").mkdir(parents=True)
    (tmp_path / "proc/400/comm").write_text("chronyd")
    assert bad(findings(Host(tmp_path), None)) == {}


def test_a_partition_that_the_kernel_calls_invalid_isolates_nothing(tmp_path: Path, placed: Config) -> None:
    group = "sys/fs/cgroup/corelane.slice"
    changes = {
        f"{CPU}/isolated": "",
        f"{group}/cpuset.cpus.partition": "isolated",
        f"{group}/cpuset.cpus.effective": "2-3",
    }
    assert bad(findings(host(tmp_path, changes), placed)) == {}
    changes[f"{group}/cpuset.cpus.partition"] = "isolated invalid (Cpu list in cpuset.cpus not exclusive)"
    assert "isolated cores" in bad(findings(host(tmp_path, changes), placed))


@pytest.mark.parametrize(("runtime", "word"), [("950000", "50 ms"), ("-1", "never run")])
def test_a_fifo_process_that_spins_is_serious_with_throttling_and_without(
    tmp_path: Path, write_config: Callable[..., Path], runtime: str, word: str
) -> None:
    path = write_config('[cores]\ntrader = { core = 2, wait = "spin", scheduling = "fifo" }\n')
    found = findings(host(tmp_path, {"proc/sys/kernel/sched_rt_runtime_us": runtime}), load_config(path))
    assert found[0].check == "trader: SCHED_FIFO and spin" and found[0].severity is Severity.SERIOUS
    assert word in found[0].cost


def test_spinning_on_a_core_that_another_process_shares_is_serious(
    tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    cores = '[cores]\ntrader = { core = 2, wait = "spin" }\nmarket_server.binance = { core = 2, wait = "backoff" }\n'
    found = findings(host(tmp_path), load_config(write_config(cores)))
    assert bad(found) == {"trader: spins on core 2": Severity.SERIOUS}


def test_irqbalance_is_blamed_only_where_it_may_use_a_pinned_core(tmp_path: Path, placed: Config) -> None:
    changes = {
        "proc/77/comm": "irqbalance",
        "proc/77/environ": "A=1\0IRQBALANCE_BANNED_CPULIST=2-3",
        f"{CPU}/isolated": "",
    }
    assert "irqbalance" not in bad(findings(host(tmp_path, changes), placed))
    changes["proc/77/environ"] = "IRQBALANCE_BANNED_CPULIST=2"
    assert bad(findings(host(tmp_path, changes), placed))["irqbalance"] is Severity.WARNING


def test_a_running_process_is_held_to_what_the_kernel_says_of_it(tmp_path: Path, placed: Config) -> None:
    running = {
        "proc/500/cmdline": "/opt/python\0-m\0processes.cli\0market-server\0binance\0--config\0c",
        "proc/500/status": "VmSwap:\t12 kB\nCpus_allowed_list:\t0-7",
        "proc/500/stat": "500 (market_server.b) S " + " ".join(["0"] * 37 + ["1", "0"]),
        "proc/500/limits": "Max locked memory         8388608              8388608              bytes",
        "proc/500/task/501/status": "Cpus_allowed_list:\t2",
    }
    found = bad(findings(host(tmp_path, running), placed))
    assert found == {
        "market_server.binance (500): its core": Severity.SERIOUS,
        "market_server.binance (500): its class": Severity.SERIOUS,
        "market_server.binance (500): thread 501": Severity.WARNING,
        "market_server.binance (500): swapped out": Severity.SERIOUS,
        "market_server.binance (500): locked memory": Severity.WARNING,
    }


def test_the_command_prints_json_and_ends_by_the_worst_finding(tmp_path: Path, placed: Config) -> None:
    host(tmp_path, {"proc/sys/vm/swappiness": "60"})
    ended = CliRunner().invoke(cli.app, ["doctor", "--json", "--root", str(tmp_path), "--config", placed.path])
    assert ended.exit_code == ExitCode.DIFFERENCE
    first = json.loads(ended.stdout)[0]
    assert (first["check"], first["severity"], first["found"]) == ("swappiness", "warning", "60")


@pytest.mark.parametrize(
    ("longest_ns", "severity"),
    [(9_000, Severity.GOOD), (200_000, Severity.WARNING), (30_000_000, Severity.SERIOUS)],
)
def test_a_gap_is_judged_by_its_length(longest_ns: int, severity: Severity) -> None:
    assert judged(Jitter(3, 5.0, longest_ns, 1, 1_000)).severity is severity


def test_jitter_is_measured_on_the_core_itself() -> None:
    core = min(os.sched_getaffinity(0))
    measured = jitter.measure(core, 0.05)
    assert measured.problem == "" and measured.turns > 100
    assert 0 < measured.longest_ns < 10_000_000_000


def test_jitter_is_looked_for_on_the_cores_of_the_config_and_on_all_where_it_has_none(
    placed: Config, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "measure", lambda core, seconds: Jitter(core, seconds, 9_000, 0, 1_000))

    def looked_at(config: Config | None) -> list[str]:
        return [one.check.partition(":")[0] for one in doctor.jitter_findings(config, {0, 1}, 0.1)]

    assert looked_at(placed) == ["core 2", "core 3"]
    assert looked_at(load_config(write_config())) == ["core 0", "core 1"]
    assert looked_at(None) == ["core 0", "core 1"]


def test_a_core_that_is_not_there_is_a_sentence() -> None:
    measured = jitter.measure(5_000, 0.05)
    assert "not pinned to core 5000" in measured.problem
    assert judged(measured).severity is Severity.SERIOUS


def test_cores_are_shown_as_the_kernel_writes_them() -> None:
    assert shown({7, 1, 2, 3}) == "1-3,7"
    assert shown(set()) == ""
