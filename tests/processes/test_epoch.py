"""Epochs only rise, survive, and are never guessed."""

import os
from pathlib import Path

import pytest

from processes.epoch import LAST_EPOCH, EpochError, EpochFile


def test_each_epoch_is_larger_than_every_one_before_also_for_another_process(tmp_path: Path) -> None:
    taken = [EpochFile(tmp_path / "trader.epoch").take() for _ in range(5)]
    assert taken == [1, 2, 3, 4, 5]


def test_an_epoch_can_be_asked_to_pass_one_that_an_engine_has_accepted(tmp_path: Path) -> None:
    file = EpochFile(tmp_path / "trader.epoch")
    assert [file.take(10), file.take(3), file.take()] == [10, 11, 12]


def test_the_file_is_complete_on_disk_before_the_epoch_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(fd: int) -> None:
        order.append("sync " + ("folder" if Path(f"/proc/self/fd/{fd}").resolve().is_dir() else "file"))
        real_fsync(fd)

    def replace(self: Path, target: Path) -> Path:
        order.append("replace")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    EpochFile(tmp_path / "trader.epoch").take()
    assert order == ["sync file", "replace", "sync folder"]


def test_a_crash_before_the_replace_leaves_the_old_epoch_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = EpochFile(tmp_path / "trader.epoch")
    file.take()

    def crash(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(EpochError, match="cannot be written: No space left"):
        patched.setattr(Path, "replace", crash)
        file.take()
    assert file.read() == 1 and file.take() == 2


@pytest.mark.parametrize("content", [b"", b"abc", b"-3", b"0", b"7 8", b"70000", b"\xff\xfe", "٣".encode()])
def test_a_file_that_is_not_one_number_is_an_error_and_never_a_fresh_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trader.epoch"
    path.write_bytes(content)
    with pytest.raises(EpochError, match="expected one number"):
        EpochFile(path).take()
    assert path.read_bytes() == content


def test_when_all_epochs_are_used_it_says_so(tmp_path: Path) -> None:
    file = EpochFile(tmp_path / "trader.epoch")
    assert file.take(LAST_EPOCH) == LAST_EPOCH
    with pytest.raises(EpochError, match="another instance number"):
        file.take()
