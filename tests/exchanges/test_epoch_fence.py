"""One trader epoch at a time, and never an older one again."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchanges.epoch_fence import EpochFence, UnreadableEpoch


def test_it_moves_forward_only(tmp_path: Path) -> None:
    fence = EpochFence(tmp_path / "state" / "epoch")
    assert fence.accepted == 0
    assert not fence.accept(0)
    assert fence.accept(5)
    assert fence.accept(5)
    assert not fence.accept(4)
    assert fence.accept(9)
    assert fence.accepted == 9


def test_it_survives_a_restart(tmp_path: Path) -> None:
    EpochFence(tmp_path / "epoch").accept(41)
    again = EpochFence(tmp_path / "epoch")
    assert again.accepted == 41
    assert not again.accept(40)


@pytest.mark.parametrize("text", ["", "abc", "-3", "1.5"])
def test_an_unreadable_file_is_an_error_and_not_epoch_zero(tmp_path: Path, text: str) -> None:
    (tmp_path / "epoch").write_text(text)
    with pytest.raises(UnreadableEpoch, match="epoch"):
        EpochFence(tmp_path / "epoch")
