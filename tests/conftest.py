"""What every test folder may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, not about the code. The examples are the same in every
# run, so a red one is the change's doing; `make explore` draws others.
settings.register_profile("corelane", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "explore", max_examples=300, print_blob=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("CORELANE_EXAMPLES") or "corelane")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Directory of recorded wire data ($CORELANE_CORPUS, else ../shared/corpus); skips where there is none."""
    path = Path(os.environ.get("CORELANE_CORPUS") or ROOT.parent / "shared" / "corpus")
    if not path.is_dir():
        pytest.skip(f"no recorded data: {path} is not a directory (set CORELANE_CORPUS)")
    return path
