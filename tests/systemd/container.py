"""A real systemd for the tests here: PID 1 of a throwaway container over this machine's own root file system.

The rule: nothing of the machine is changed and nothing is left behind; where it cannot be had, `missing` says why in
one sentence, and the test says that it was skipped. The program is laid to /opt/corelane, where the units expect it,
with the compiled modules and the dependencies of the environment that runs the test (handed in read-only).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

SOURCE: Final = Path(__file__).parents[2]
PROGRAM: Final = Path("/opt/corelane")
PACKAGES: Final = ("shm", "exchanges", "strategy", "processes", "systemd")
TOOLS: Final = {
    "systemd-nspawn": "systemd-container",
    "systemctl": "systemd",
    "dbus-daemon": "dbus",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
"""What is needed and the Debian package that has it."""
HIDDEN: Final = ("/root", "/home", "/tmp", "/var/tmp")
"""Folders that the units do not see: a Python there cannot be what starts them."""
BOOT_S: Final = 60.0
SYS_RESOURCE: Final = 24
"""CAP_SYS_RESOURCE, without which no hard limit can be raised."""


def missing() -> str:
    """Why no systemd can be booted here; empty where one can."""
    if os.geteuid() != 0:
        return "a container with systemd needs root"
    if lacking := sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None}):
        return f"apt-get install -y {' '.join(lacking)}"
    if not _cgroup_roots():
        return "neither a unified cgroup hierarchy nor systemd's own is mounted"
    if _python() is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return f"units cannot start a Python below {', '.join(HIDDEN)}, and there is no other of version {version}"
    return ""


def may_raise_limits() -> bool:
    """Whether the kernel lets this machine's root raise a hard limit (memlock); in some sandboxes it does not."""
    bounding = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd"))
    return bool(int(bounding.split()[1], 16) >> SYS_RESOURCE & 1)


class Container:
    """A booted systemd with the program at /opt/corelane. A context manager."""

    def __init__(self, prepared: dict[str, str]) -> None:
        """`prepared`: {absolute path: text} of files that are there before the boot."""
        _remove_leftovers()
        self._folder = Path(tempfile.mkdtemp(prefix=f"corelane-systemd.{os.getpid()}."))
        self._cgroups = [root / f"corelane-test.{os.getpid()}" for root in _cgroup_roots()]
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._prepared = prepared

    def __enter__(self) -> Self:
        try:
            self._boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def run(self, *command: str, check: bool = True, timeout: float = 60.0) -> str:
        """Run a command in it as root; what it printed. AssertionError with that where it fails and `check` is set."""
        done = subprocess.run(
            ["nsenter", "--target", str(self._leader), "--all", "--", "env", "-i", "HOME=/root", "LANG=C.UTF-8",
             f"PATH={PROGRAM}/.venv/bin:/usr/sbin:/usr/bin:/sbin:/bin", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{' '.join(command)} → {done.returncode}:\n{done.stdout}"
        return done.stdout.strip()

    def close(self) -> None:
        """End it, hard: everything in it is in one PID namespace."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30.0)
        for group in self._cgroups:
            wait_until(lambda group=group: _remove_group(group), f"{group} is empty", 30.0)  # type: ignore[misc]
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- boot -------------------------------------------------------------------------------------------------------
    def _boot(self) -> None:
        for group in self._cgroups:
            group.mkdir()
        prepared, work = self._folder / "prepared", self._folder / "work"
        work.mkdir()
        _lay_program(prepared)
        for path, text in self._prepared.items():
            file = prepared / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        console = self._folder / "console"
        packages = f"{sysconfig.get_path('purelib')}:{_packages_of(PROGRAM)}"
        with console.open("wb") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--mount-proc",
                 "--kill-child=SIGKILL", str(Path(__file__).with_name("boot.sh")), str(work), str(prepared),
                 f"--bind-ro={packages}"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "CORELANE_CGROUPS": " ".join(map(str, self._cgroups)),
                     "SYSTEMD_NSPAWN_TMPFS_TMP": "0"},
            )  # fmt: skip

        def is_up() -> bool:
            assert self._process is not None and self._process.poll() is None, "it ended"
            self._leader = self._leader or _init_below(self._process.pid)
            return bool(self._leader) and self.run("systemctl", "is-system-running", check=False) in (
                "running", "degraded",
            )  # fmt: skip

        try:
            wait_until(is_up, "systemd is up", BOOT_S)
        except AssertionError as error:
            raise AssertionError(f"no boot: {error}; its console:\n{console.read_text('utf-8', 'replace')}") from None


def wait_until(condition: Callable[[], bool], what: str, timeout: float) -> None:
    """AssertionError where it does not come true in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.1)


# --- the program ------------------------------------------------------------------------------------------------------
def _lay_program(root: Path) -> None:
    """Sources and compiled modules, and an environment of a Python that the units can start."""
    place = root / PROGRAM.relative_to("/")
    for package in PACKAGES:
        shutil.copytree(SOURCE / package, place / package, ignore=shutil.ignore_patterns("__pycache__", "*.c", "*.pyx"))
    shutil.copy(SOURCE / "README.md", place)
    python = _python()
    assert python is not None
    subprocess.run([python, "-m", "venv", "--without-pip", str(place / ".venv")], check=True)
    command = place / ".venv/bin/corelane"
    command.write_text(
        f"#!{PROGRAM}/.venv/bin/python\nimport sys\n\nsys.path[0] = {str(PROGRAM)!r}\n"
        "from processes.cli import main\n\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


def _packages_of(program: Path) -> str:
    return f"{program}/.venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def _python() -> str | None:
    """A Python of the version that everything was compiled for and that a unit may start."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for candidate in (getattr(sys, "_base_executable", sys.executable), f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        path = Path(candidate).resolve()
        if path.exists() and not any(path.is_relative_to(folder) for folder in HIDDEN):
            return str(path)
    return None


# --- the machine ------------------------------------------------------------------------------------------------------
def _cgroup_roots() -> list[Path]:
    """The hierarchies that systemd itself uses: the one of a unified layout, or both of a hybrid one."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root]
    return [path for path in (root / "unified", root / "systemd") if (path / "cgroup.procs").exists()]


def _remove_leftovers() -> None:
    """What a test left that was killed: its container is gone with it, its groups and files are not."""
    groups = [group for root in _cgroup_roots() for group in root.glob("corelane-test.*")]
    folders = list(Path(tempfile.gettempdir()).glob("corelane-systemd.*"))
    for left in (*groups, *folders):
        if not Path("/proc", left.name.split(".")[1]).exists():
            _remove_group(left) if left in groups else shutil.rmtree(left, ignore_errors=True)


def _remove_group(group: Path) -> bool:
    """Remove it and what systemd made below; False while something in it is still ending."""
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()


def _init_below(ancestor: int) -> int:
    """Our number of the process that is PID 1 two namespaces further in; 0 where there is none yet."""
    for pid in _descendants(ancestor):
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            numbers = next(line for line in lines if line.startswith("NSpid:")).split()[1:]
            if len(numbers) >= 3 and numbers[-1] == "1":
                return pid
    return 0


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(child)
            yield from _descendants(int(child))
