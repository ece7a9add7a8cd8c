"""Options that several groups of commands share. Called by `cli.py` and the modules that hold a group of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="The TOML file. Default: $CORELANE_CONFIG, else ./corelane.toml.", metavar="FILE"
    ),
]
