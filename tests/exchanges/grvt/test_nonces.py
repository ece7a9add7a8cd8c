"""No nonce comes twice, however often the process dies."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.adapter import ConfigurationError
from exchanges.grvt.auth import ENGINE_NONCES, NONCES
from exchanges.grvt.nonces import BLOCK, NonceSource


@settings(max_examples=25)  # each run syncs a file to disk
@given(runs=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_no_nonce_is_handed_out_twice_over_any_number_of_restarts(tmp_path_factory, runs: list[int]) -> None:
    path = tmp_path_factory.mktemp("state") / "grvt.nonce"
    seen: list[int] = []
    for taken in runs:  # a process that dies leaves nothing but the file
        source = NonceSource(path)
        seen += [source.take() for _ in range(taken)]
    assert len(set(seen)) == len(seen)


def test_the_end_of_a_block_is_on_disk_before_its_first_nonce_is_out(tmp_path: Path) -> None:
    path = tmp_path / "grvt.nonce"
    path.write_text("7\n")
    source = NonceSource(path)
    assert int(path.read_text()) == 7 + BLOCK
    assert [source.take() for _ in range(BLOCK)] == list(range(7, 7 + BLOCK))
    assert int(path.read_text()) == 7 + BLOCK
    assert source.take() == 7 + BLOCK
    assert int(path.read_text()) == 7 + 2 * BLOCK


def test_numbers_go_round_before_those_of_the_emergency_access(tmp_path: Path) -> None:
    path = tmp_path / "grvt.nonce"
    path.write_text(f"{ENGINE_NONCES - 2}\n")
    source = NonceSource(path)
    assert [source.take() for _ in range(4)] == [ENGINE_NONCES - 2, ENGINE_NONCES - 1, 0, 1]
    assert int(path.read_text()) == BLOCK - 2
    assert NonceSource(path).take() == BLOCK - 2


def test_a_file_that_counted_into_those_of_the_emergency_access_goes_round_at_once(tmp_path: Path) -> None:
    path = tmp_path / "grvt.nonce"
    path.write_text(f"{ENGINE_NONCES + 5}\n")
    assert NonceSource(path).take() == 5


@pytest.mark.parametrize("text", ["", "abc", "-1", str(NONCES), "1 2", "\xff"])
def test_a_file_that_is_not_one_number_is_an_error_and_no_new_beginning(tmp_path: Path, text: str) -> None:
    path = tmp_path / "grvt.nonce"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationError, match=r"grvt\.nonce"):
        NonceSource(path)
    assert path.read_text(encoding="latin-1") == text


def test_a_state_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a directory should be")
    with pytest.raises(ConfigurationError, match="cannot be"):
        NonceSource(tmp_path / "state" / "grvt.nonce")
