"""Named moments: absent unless asked for, and a process stands still exactly where it was asked to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from processes import stalls

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
from processes import stalls
def act(number):
    print("act", number, flush=True)
held = stalls.after("here.after", stalls.before("here.before", act))
for number in range(3):
    held(number)
print("end", flush=True)
"""


@pytest.mark.skipif(bool(stalls.DIRECTORY), reason="stalls are on in this very process")
def test_off_everything_is_what_was_given():
    def act(number: int) -> int:
        return number

    writer = object()
    assert stalls.before("a", act) is act
    assert stalls.after("a", act) is act
    assert stalls.facts(act) is act
    assert stalls.publishing(writer) is writer


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, stalls.VARIABLE: str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )


def stopped(process: subprocess.Popen[str]) -> bool:
    """Waits until it stops itself or ends; True where it stopped."""
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    return os.WIFSTOPPED(status)


@pytest.mark.parametrize(
    ("point", "passes", "said"),
    [("here.before", 0, ""), ("here.after", 0, "act 0\n"), ("here.before", 2, "act 0\nact 1\n")],
)
def test_on_the_process_stops_at_the_armed_point_and_goes_on(tmp_path, point, passes, said):
    (tmp_path / point).write_text(str(passes))
    with start(tmp_path) as process:
        assert process.stdout is not None
        assert stopped(process)
        assert (tmp_path / f"{point}.reached").exists()
        before = os.read(process.stdout.fileno(), 1000).decode() if said else ""
        assert before == said
        os.kill(process.pid, signal.SIGCONT)
        assert before + process.stdout.read() == "act 0\nact 1\nact 2\nend\n"


def test_a_point_that_is_not_armed_holds_nobody(tmp_path):
    process = start(tmp_path)
    assert process.communicate()[0] == "act 0\nact 1\nact 2\nend\n"
