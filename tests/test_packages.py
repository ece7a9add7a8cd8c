"""An installed wheel holds what the checkout does: every package of the sources is named in pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_package_of_the_sources_is_named_for_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for top in settings["tool"]["mypy"]["packages"]
        for file in (ROOT / top).rglob("__init__.py")
    }
    assert "exchanges.binance" in found, "the search itself must find something"
    assert set(settings["tool"]["setuptools"]["packages"]) == found
