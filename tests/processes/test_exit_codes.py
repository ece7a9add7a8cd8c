"""Every failure that an operator can understand has a sentence and a code of its own."""

from __future__ import annotations

import errno

import pytest

from exchanges.adapter import ConfigurationError, VenueRefused, VenueUnavailable
from exchanges.simulator.errors import SimulatorError
from processes.config import ConfigError
from processes.control import ControlError
from processes.exit_codes import NO_RESTART, ExitCode, Failure, explain
from processes.secrets import CredentialsError
from shm.layout import Reason
from shm.lock import AlreadyRunning
from shm.segment import SegmentError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failure("f", ExitCode.VENUE), ExitCode.VENUE),
        (ConfigError(["a: b"]), ExitCode.CONFIG),
        (ConfigurationError("c"), ExitCode.CONFIG),
        (SimulatorError("recording x does not exist"), ExitCode.CONFIG),
        (AlreadyRunning("trader already runs"), ExitCode.ALREADY_RUNNING),
        (CredentialsError("none"), ExitCode.CREDENTIALS),
        (VenueRefused("no", reason=Reason.VENUE_SIGNATURE), ExitCode.CREDENTIALS),
        (VenueRefused("no", reason=Reason.VENUE_FILTER), ExitCode.VENUE),
        (VenueUnavailable("down"), ExitCode.VENUE),
        (SegmentError("too small"), ExitCode.SHARED_MEMORY),
        (ControlError("nobody"), ExitCode.NO_ANSWER),
        (OSError(errno.EADDRINUSE, "in use"), ExitCode.ADDRESS_IN_USE),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (ExceptionGroup("tasks", [SegmentError("gone")]), ExitCode.SHARED_MEMORY),
    ],
)
def test_known_failures_are_explained(error, code):
    found = explain(error)
    assert found is not None
    assert found[1] is code
    assert "\n" not in found[0]


def test_what_nobody_foresaw_is_not_explained():
    assert explain(ZeroDivisionError()) is None
    assert explain(ExceptionGroup("two", [SegmentError("a"), SegmentError("b")])) is None


def test_only_ends_that_would_repeat_are_not_restarted():
    assert ExitCode.CRASH not in NO_RESTART
    assert ExitCode.VENUE not in NO_RESTART
    assert ExitCode.CONFIG in NO_RESTART
