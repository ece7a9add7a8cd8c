"""What systemd hears, and that nothing happens without it."""

from __future__ import annotations

import os
import socket

from processes.sd_notify import Notifier


def test_assignments_arrive_in_one_datagram(directory, monkeypatch):
    path = str(directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notifier = Notifier()
        notifier.send("READY=1", "STATUS=up")
        assert manager.recv(100) == b"READY=1\nSTATUS=up"
        notifier.close()


def test_without_systemd_it_does_nothing(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = Notifier()
    notifier.send("READY=1")
    assert notifier.watchdog_interval_s == 0
    notifier.close()


def test_a_manager_that_is_gone_stops_nobody(directory, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(directory / "nobody"))
    notifier = Notifier()
    notifier.send("READY=1")
    notifier.close()


def test_the_watchdog_is_fed_at_half_its_patience_and_only_if_it_is_ours(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert Notifier().watchdog_interval_s == 1.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert Notifier().watchdog_interval_s == 0
