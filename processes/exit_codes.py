"""What a process's exit code tells systemd, the supervisor and a shell; one number per kind of end.

The rule: a failure that an operator can understand is one sentence and a code of its own, without a traceback; only
what nobody foresaw is CRASH, and its traceback stands in the log. Called by cli.py,
app_service.py and supervisor.py.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Codes are only ever appended. 2 is also what the command line parser uses for a wrong argument."""

    OK = 0
    DIFFERENCE = 1  # the work was done, and its answer is no: books differ, a command was refused
    CONFIG = 2
    ALREADY_RUNNING = 3
    CREDENTIALS = 4  # none found, or the venue refuses them
    SHARED_MEMORY = 5  # a segment is missing, of another layout, or /dev/shm is too small
    VENUE = 6  # the venue cannot be reached, or does not have what the config asks for
    NO_ANSWER = 7  # a control command found nobody
    ADDRESS_IN_USE = 8
    PROCESS_FAILED = 9  # a process of the set did not come up, or died too often
    RESTART = 10  # a planned end: whoever started it starts it again at once (systemd: RestartForceExitStatus=10)
    HOST_UNTUNED = 11  # the doctor found what costs milliseconds
    CRASH = 70  # EX_SOFTWARE: unforeseen; the log has the traceback
    STOP_TIMEOUT = 71  # did not stop within its bound
    INTERRUPTED = 130


NO_RESTART = frozenset({ExitCode.CONFIG, ExitCode.ALREADY_RUNNING, ExitCode.CREDENTIALS})
"""Ends after which the same start would end the same way: a supervisor says so instead of trying again."""


class Failure(Exception):
    """One sentence for the operator (what, where, what was expected) and the exit code that goes with it."""

    def __init__(self, sentence: str, code: ExitCode) -> None:
        super().__init__(sentence)
        self.code = code


def explain(error: BaseException) -> tuple[str, ExitCode] | None:
    """Sentence and exit code of a failure that is understood; None for one that is not (then it is a crash)."""
    from exchanges.adapter import ConfigurationError, VenueRefused, VenueUnavailable
    from exchanges.simulator.errors import SimulatorError
    from processes.config import ConfigError
    from processes.control import ControlError
    from processes.secrets import CredentialsError
    from shm.journal import JournalError
    from shm.layout import Reason
    from shm.lock import AlreadyRunning
    from shm.segment import SegmentError

    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return explain(error.exceptions[0])
    code: ExitCode | None = None
    match error:
        case Failure():
            code = error.code
        case ConfigError() | ConfigurationError() | SimulatorError():
            code = ExitCode.CONFIG
        case AlreadyRunning():
            code = ExitCode.ALREADY_RUNNING
        case CredentialsError():
            code = ExitCode.CREDENTIALS
        case VenueRefused():
            code = ExitCode.CREDENTIALS if error.reason == Reason.VENUE_SIGNATURE else ExitCode.VENUE
        case VenueUnavailable():
            code = ExitCode.VENUE
        case SegmentError() | JournalError():
            code = ExitCode.SHARED_MEMORY
        case ControlError():
            code = ExitCode.NO_ANSWER
        case OSError() if error.errno == 98:  # EADDRINUSE
            code = ExitCode.ADDRESS_IN_USE
        case KeyboardInterrupt():
            return "interrupted", ExitCode.INTERRUPTED
    return (str(error), code) if code is not None else None
