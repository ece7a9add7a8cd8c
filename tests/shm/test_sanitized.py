"""In a sanitized run it is the sanitized build that is tested; in any other this one says nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shm import ring


@pytest.mark.skipif("libasan" not in os.environ.get("LD_PRELOAD", ""), reason="not a sanitized run")
def test_the_sanitized_build_is_the_one_under_test() -> None:
    assert "sanitized" in Path(str(ring.__file__)).parts
    assert b"__asan" in Path(str(ring.__file__)).read_bytes()
    assert b"__ubsan" in Path(str(ring.__file__)).read_bytes()
