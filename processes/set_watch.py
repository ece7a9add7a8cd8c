"""A set that is watched from outside it: attached while it is there, found again when it comes back.

The rule: segments that were removed live on in those who mapped them, so a watcher would show a set that is gone for
ever; each look asks whether the name still leads to the same memory. Called by `corelane top`; one thread.
"""

from __future__ import annotations

import contextlib
from typing import Final

from processes import shm_admin
from processes.config import Config
from processes.health import Health, Look
from processes.history import History
from processes.set_view import SetView
from shm.instance import Instance
from shm.segment import SegmentError

MARK: Final = "words"
"""The segment by which a set is known again."""


class SetWatch:
    def __init__(self, config: Config) -> None:
        """Raises SegmentError where the set is not there now."""
        self._config = config
        self._attach()

    def _attach(self) -> None:
        self._instance: Instance = shm_admin.instance_of(self._config)
        try:
            self._mark = self._instance.segment(MARK)
            self._view: SetView | None = SetView(self._config, self._instance)
        except BaseException:
            self._instance.close()
            raise
        self._health, self.history = Health(), History()

    def follow(self) -> None:
        """Take in the newest order events. Call it several times a second."""
        if self._view is not None:
            self._view.follow_orders()

    def look(self) -> Look | None:
        """How the set is now; None while it is not there. Raises nothing."""
        if self._view is not None and self._mark.is_linked():
            snapshot = self._view.take()
            self.history.add(snapshot)
            return Look(snapshot, self._health.update(snapshot))
        self.close()
        with contextlib.suppress(SegmentError):
            self._attach()
            return self.look()
        return None

    def close(self) -> None:
        """Idempotent."""
        self._view = None
        self._instance.close()
