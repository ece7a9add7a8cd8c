"""The example config as text; the file beside this one is its only source. Called by `corelane config example`."""

from __future__ import annotations

from importlib.resources import files


def text() -> str:
    """The whole file."""
    return (files("processes") / "corelane.example.toml").read_text(encoding="utf-8")
