"""Puts rendered units on the host, shows what would change, takes them away again.

The rule: it touches nothing that it did not write. Each file begins with a mark and the digest of the rest; a file
without the mark, or changed by hand since, is left as it is and named. A second install changes nothing.
Called by `corelane systemd`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import subprocess
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from processes.systemd_units import DROP_IN, UNITS

MARK: Final = "# Written by `corelane systemd install`; change corelane.toml or add a drop-in instead. sha256="
PLACES: Final = (
    f"{UNITS}/corelane*",
    f"{UNITS}/*.d/{DROP_IN}",
    "etc/sysusers.d/corelane.conf",
    "etc/tmpfiles.d/corelane.conf",
)
"""Where files of ours can be, those of an earlier config too."""


class State(Enum):
    """A file of the host against what was rendered."""

    MISSING = "missing"
    SAME = "as rendered"
    OLD = "of another config or version"
    STALE = "not wanted any more"
    EDITED = "changed by hand"
    FOREIGN = "not written by corelane"


TO_WRITE: Final = (State.MISSING, State.OLD)
NOT_OURS: Final = (State.EDITED, State.FOREIGN)


@dataclass(frozen=True)
class Found:
    """One file: path below the root, how it stands, what is there and what belongs there (None: nothing)."""

    path: str
    state: State
    present: str | None
    wanted: str | None


def marked(text: str) -> str:
    """The text as it is written, with the mark on top."""
    return f"{MARK}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def compare(rendered: dict[str, str], root: Path) -> list[Found]:
    """Every rendered file, and every file of ours that is not rendered any more."""
    found = [_compared(path, marked(text), root) for path, text in sorted(rendered.items())]
    for place in PLACES:
        for file in sorted(root.glob(place)):
            path = str(file.relative_to(root))
            if path not in rendered and file.is_file() and (text := _read(file)).startswith(MARK):
                found.append(Found(path, State.STALE if _untouched(text) else State.EDITED, text, None))
    return found


def _compared(path: str, wanted: str, root: Path) -> Found:
    file = root / path
    if not file.exists() and not file.is_symlink():
        return Found(path, State.MISSING, None, wanted)
    text = _read(file)
    if text == wanted:
        state = State.SAME
    elif not text.startswith(MARK):
        state = State.FOREIGN
    else:
        state = State.OLD if _untouched(text) else State.EDITED
    return Found(path, state, text, wanted)


def _read(file: Path) -> str:
    """What the file says; for a link (a masked unit points to /dev/null) nothing that could be ours."""
    return "" if file.is_symlink() else file.read_text("utf-8", "replace")


def _untouched(text: str) -> bool:
    head, _, rest = text.partition("\n")
    return head.removeprefix(MARK) == hashlib.sha256(rest.encode()).hexdigest()


def difference(files: list[Found]) -> list[str]:
    """A unified diff of what an install would write and remove."""
    lines: list[str] = []
    for file in files:
        if file.state in (*TO_WRITE, State.STALE):
            lines += difflib.unified_diff(
                (file.present or "").splitlines(),
                (file.wanted or "").splitlines(),
                f"/{file.path}" if file.present is not None else "/dev/null",
                f"/{file.path}" if file.wanted is not None else "/dev/null",
                lineterm="",
            )
    return lines


def install(files: list[Found], root: Path) -> list[str]:
    """Write what is missing or old, remove what is stale; a line for each. What is not ours stays. Raises OSError."""
    done = []
    for file in files:
        path = root / file.path
        if file.state in TO_WRITE:
            assert file.wanted is not None
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_text(file.wanted, "utf-8")
            temporary.chmod(0o644)
            temporary.replace(path)
            done.append(f"wrote {path}")
        elif file.state is State.STALE:
            done += _remove(path)
    return done


def uninstall(files: list[Found], root: Path) -> list[str]:
    """Remove every file of ours that nobody changed; a line for each."""
    done = []
    for file in files:
        if file.state in (State.SAME, State.OLD, State.STALE):
            done += _remove(root / file.path)
    return done


def _remove(path: Path) -> list[str]:
    path.unlink()
    if path.parent.suffix == ".d" and path.name == DROP_IN and not any(path.parent.iterdir()):
        path.parent.rmdir()
    return [f"removed {path}"]


def tell_systemd() -> list[str]:
    """Make users and folders and let systemd read the units anew; a line for each command, and for what it said.

    Where systemd does not run, the commands to be typed later."""
    commands = (["systemd-sysusers"], ["systemd-tmpfiles", "--create", "corelane.conf"], ["systemctl", "daemon-reload"])
    if not Path("/run/systemd/system").is_dir():
        return ["systemd does not run here; on the host: " + "; ".join(" ".join(words) for words in commands)]
    lines = []
    for words in commands:
        try:
            ended = subprocess.run(
                words, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
            )
            said = ended.stderr.strip().splitlines()
            lines.append(f"ran {' '.join(words)}" + (f": exit code {ended.returncode}" if ended.returncode else ""))
            lines += [f"  {line}" for line in said]
        except OSError as error:
            lines.append(f"{words[0]}: {error.strerror}")
    return lines
