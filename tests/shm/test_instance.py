"""shm/instance.py: names, ids that never move, and segments made all or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shm.instance import INSTRUMENT_ROWS, Instance, VenueSegments
from shm.layout import DOORBELLS, SegmentKind, Venue, instrument_id
from shm.segment import Segment, SegmentError

VENUE = VenueSegments(["BTCUSDT", "ETHUSDT"], market_ring_slots=64, request_ring_slots=16, event_ring_slots=32)
PROCESSES = ["market_server.binance", "trader"]
LOGICAL = [
    "words", "status", "strategies", "binance.market", "binance.requests", "binance.events", "binance.instruments",
    "binance.books", "binance.tickers", "binance.positions", "binance.balances", "counters.market_server.binance",
    "counters.trader", "log.market_server.binance", "log.trader",
]  # fmt: skip


def test_create_makes_every_segment_and_is_idempotent(instance: Instance) -> None:
    for _ in range(2):
        assert sorted(instance.create({"binance": VENUE}, PROCESSES)) == sorted(LOGICAL)
    names = Segment.names(instance.segment_name(""))
    assert names == sorted(f"/corelane.{instance.name}.{logical}" for logical in LOGICAL)
    assert instance.segment("binance.market").capacity == 64
    assert instance.segment("binance.requests").kind is SegmentKind.LOSSLESS_RING
    assert instance.segment("binance.events").capacity == 32
    assert instance.segment("words") is instance.segment("words")
    assert instance.segment("words").bell_folder == str(instance.bell_folder)


def test_remove_takes_all_of_this_instance_and_nothing_of_another(instance: Instance, tmp_path: Path) -> None:
    other = Instance(instance.name + "2", 2, tmp_path / "run2", tmp_path / "state2")
    try:
        instance.create({"binance": VENUE}, PROCESSES)
        other.create({}, [])
        assert len(instance.remove()) == len(LOGICAL)
        assert Segment.names(instance.segment_name("")) == []
        assert len(Segment.names(other.segment_name(""))) == 3
    finally:
        other.remove()


def test_a_create_that_fails_takes_back_what_it_made(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    Segment.create(instance.segment_name("words"), SegmentKind.WORDS, 64, 8)
    real = Segment.create

    def failing(name: str, *arguments: object) -> Segment:
        if name.endswith("books"):
            raise SegmentError("no room")
        return real(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Segment, "create", failing)
    with pytest.raises(SegmentError, match="no room"):
        instance.create({"binance": VENUE}, PROCESSES)
    assert Segment.names(instance.segment_name("")) == [instance.segment_name("words")], "what existed stays"


@pytest.mark.parametrize("slots", [0, 4, 7, 100])
def test_a_ring_size_that_is_no_ring_is_refused_before_anything_is_made(instance: Instance, slots: int) -> None:
    with pytest.raises(SegmentError, match=f"binance: a ring of {slots} slots was asked for, a power of two from 8"):
        instance.create({"binance": VenueSegments(["A"], request_ring_slots=slots)}, [])
    assert Segment.names(instance.segment_name("")) == []
    assert not instance.state_dir.exists()


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "x" * 33, "ä", "a b"])
def test_a_name_that_could_not_name_files_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SegmentError, match="letters, digits, - and _ were expected"):
        Instance(name, 1, tmp_path, tmp_path)


def test_a_segment_that_was_removed_is_found_within_as_many_looks_as_there_are(instance: Instance) -> None:
    assert instance.lost_segment(0) is None
    instance.create({"binance": VenueSegments(["BTCUSDT"])}, ["trader"])
    for logical in ("words", "status", "binance.books"):
        instance.segment(logical)
    assert [instance.lost_segment(turn) for turn in range(6)] == [None] * 6
    Segment.remove(instance.segment_name("status"))
    assert {instance.lost_segment(turn) for turn in range(3)} == {None, instance.segment_name("status")}


def test_ids_are_venue_and_row(instance: Instance) -> None:
    instance.create({"binance": VENUE, "grvt": VenueSegments(["BTC_USDT_Perp"])}, [])
    ids = instance.instruments("binance")
    assert ids.id("BTCUSDT") == instrument_id(Venue.BINANCE, 0)
    assert ids.symbol(ids.id("ETHUSDT")) == "ETHUSDT"
    assert ids.row("ETHUSDT") == 1
    assert ids.symbols == ["BTCUSDT", "ETHUSDT"]
    assert instance.instruments("grvt").id("BTC_USDT_Perp") == instrument_id(Venue.GRVT, 0)
    with pytest.raises(KeyError):
        ids.id("NOPE")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from([f"S{index}" for index in range(12)]), max_size=8), min_size=1, max_size=5))
def test_an_id_never_moves_however_the_configuration_changes(
    instance: Instance, configurations: list[list[str]]
) -> None:
    known: dict[str, int] = {}
    try:
        for symbols in configurations:
            instance.create({"binance": VenueSegments(symbols, 8, 8, 8)}, symbols)
            ids = instance.instruments("binance")
            for symbol, identifier in known.items():
                assert ids.id(symbol) == identifier
            known = {symbol: ids.id(symbol) for symbol in ids.symbols}
            assert set(symbols) <= set(known)
            assert len(set(known.values())) == len(known)
            assert {instance.process_row(symbol) for symbol in symbols} <= set(range(DOORBELLS))
    finally:
        instance.close()
        instance.remove()
        for path in instance.state_dir.rglob("*.json"):
            path.unlink()


def test_ids_survive_the_removal_of_the_segments(instance: Instance) -> None:
    instance.create({"binance": VENUE}, PROCESSES)
    instance.remove()
    instance.create({"binance": VenueSegments(["ADAUSDT", "ETHUSDT"], 8, 8, 8)}, ["new", "trader"])
    assert instance.instruments("binance").row("ETHUSDT") == 1
    assert instance.instruments("binance").row("ADAUSDT") == 2
    assert (instance.process_row("trader"), instance.process_row("new")) == (1, 2)


def test_segments_of_another_numbering_are_refused(instance: Instance) -> None:
    instance.create({"binance": VENUE}, PROCESSES)
    path = instance.state_dir / "instruments" / "binance.json"
    path.write_text(json.dumps({"ETHUSDT": 0, "BTCUSDT": 1}))
    for call in (lambda: instance.instruments("binance"), lambda: instance.create({"binance": VENUE}, PROCESSES)):
        with pytest.raises(SegmentError, match=r"was made for another id table than .* run `corelane shm rm`"):
            call()
    path.unlink()
    with pytest.raises(SegmentError, match="was made for another id table"):
        instance.create({"binance": VENUE}, PROCESSES)


def test_a_table_that_only_grew_is_the_same_numbering(instance: Instance) -> None:
    instance.create({"binance": VENUE}, PROCESSES)
    path = instance.state_dir / "instruments" / "binance.json"
    path.write_text(json.dumps({"BTCUSDT": 0, "ETHUSDT": 1, "ADAUSDT": 2}))
    assert instance.instruments("binance").row("ADAUSDT") == 2


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"A": "0"}', '{"A": -1}', '{"A": 0, "B": 0}', '{"A": 70000}', '{"A": true}']
)
def test_a_damaged_id_table_is_one_sentence(instance: Instance, text: str) -> None:
    path = instance.state_dir / "instruments" / "binance.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(SegmentError, match="is not the id table it should be") as caught:
        instance.instruments("binance")
    assert "\n" not in str(caught.value)


def test_what_was_never_made_names_the_command(instance: Instance) -> None:
    with pytest.raises(SegmentError, match="does not exist; `corelane shm create` makes it"):
        instance.instruments("binance")
    with pytest.raises(SegmentError, match="does not exist; `corelane shm create` makes it"):
        instance.segment("words")
    instance.create({}, ["trader"])
    with pytest.raises(SegmentError, match="process engine is not known to instance"):
        instance.process_row("engine")


@pytest.mark.parametrize(("symbols", "processes"), [(INSTRUMENT_ROWS + 1, 1), (1, DOORBELLS + 1)])
def test_more_names_than_rows_are_refused(instance: Instance, symbols: int, processes: int) -> None:
    with pytest.raises(SegmentError, match="at most are possible"):
        instance.create(
            {"binance": VenueSegments([f"S{index}" for index in range(symbols)], 8, 8, 8)},
            [f"p{index}" for index in range(processes)],
        )
