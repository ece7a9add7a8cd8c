"""Names of the wire, against the venue's own table where it is present."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from exchanges.grvt import messages

VENUE_NAMES = {
    messages.Level: "OrderbookLevel", messages.Book: "OrderbookLevels", messages.Mini: "MiniTicker",
    messages.Ticker: "Ticker", messages.Trade: "Trade", messages.SubscribeResult: "WSSubscribeResult",
    messages.RpcError: "Error",
}  # fmt: skip


def test_lite_names_are_the_venues(corpus: Path) -> None:
    table = json.loads((corpus / "grvt" / "lite_names.json").read_text())
    for shape, name in VENUE_NAMES.items():
        assert messages.LITE_NAMES[shape].items() <= table[name].items(), name


@pytest.mark.parametrize("shape", messages.LITE_NAMES, ids=lambda shape: shape.__name__)
def test_every_field_has_a_lite_name_of_its_own(shape) -> None:
    fields = [entry.name for entry in msgspec.structs.fields(shape)]
    assert sorted(fields) == sorted(messages.LITE_NAMES[shape])
    assert len(set(messages.LITE_NAMES[shape].values())) == len(fields)
