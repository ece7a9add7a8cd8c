"""The two ways in which a request can end without a reply, whatever carried it, and a reply that nobody can read.

The rule: `NotSent` is only said where no byte can have left this host: nothing happened and the request may be tried
again, or go another way. Everything else is `OutcomeUnknown`: for a request that changes state only the venue's own
word tells what happened.

Who calls it: http.py and request_socket.py raise them, the order paths of the venues read them.
"""

from __future__ import annotations


class RequestFailure(Exception):
    """No reply. Exactly one of the two subclasses is raised, with one sentence."""


class NotSent(RequestFailure):
    """Surely nothing reached the venue: no connection, no name, no free place in time."""


class OutcomeUnknown(RequestFailure):
    """The request left, or may have, and no complete reply came."""

    @property
    def timed_out(self) -> bool:
        """The reply did not come in time, though the connection may be well."""
        return isinstance(self.__cause__, TimeoutError)


class UnreadableReply(ValueError):
    """A frame has another shape than documented; `str()` says what, in one sentence."""
