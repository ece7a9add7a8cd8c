"""Requests to JSON-RPC, replies and user.changes to facts. Messages are composed in the documented shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exchanges.deribit.order_codec import DAY_END_NS, DAY_NS, ENDED_ORDERS, OrderCodec, currency_of
from exchanges.order_events import FactFlag
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_wire import MalformedMessage, UnsupportedRequest
from exchanges.verdict import Outcome
from shm.layout import (
    EventType,
    ExecFlag,
    FillPart,
    Liquidity,
    OrderState,
    OrderType,
    Reason,
    RequestType,
    Side,
    TimeInForce,
    client_order_id,
    instrument_id,
)
from shm.records import OrderEvent, OrderRequest

E, S = EventType, OrderState
INVERSE = OrderInstrument(instrument_id(2, 0), "BTC-PERPETUAL", price_scale=2, quantity_scale=0, inverse=True)
LINEAR = OrderInstrument(instrument_id(2, 1), "ETH_USDC-PERPETUAL", price_scale=2, quantity_scale=3)
OWN = client_order_id(6, 2, 3, 17)
UNTIL = 1_767_000_005_000


@pytest.fixture
def codec() -> OrderCodec:
    return OrderCodec(OrderInstruments([INVERSE, LINEAR]), 6)


def request(kind: RequestType = RequestType.NEW, **fields: Any) -> OrderRequest:
    one = OrderRequest()
    one.request_type, one.client_order_id, one.instrument_id = kind, OWN, INVERSE.id
    one.side, one.order_type, one.time_in_force = Side.BUY, OrderType.LIMIT, TimeInForce.GTC
    one.price, one.quantity, one.request_id, one.epoch = 6_100_050, 10, 77, 3
    for name, value in fields.items():
        setattr(one, name, value)
    return one


ORDER: dict[str, Any] = {
    "order_id": "74311500001", "order_state": "open", "order_type": "limit", "instrument_name": "BTC-PERPETUAL",
    "direction": "buy", "price": 61000.5, "amount": 10.0, "contracts": 1.0, "filled_amount": 0.0, "average_price": 0.0,
    "label": str(OWN), "time_in_force": "good_til_cancelled", "post_only": True, "reject_post_only": True,
    "reduce_only": False, "api": True, "web": False, "replaced": False, "creation_timestamp": 1767000000493,
    "last_update_timestamp": 1767000000493,
}  # fmt: skip
TRADE: dict[str, Any] = {
    "trade_id": "208400104", "trade_seq": 123000306, "order_id": "74311500001", "instrument_name": "BTC-PERPETUAL",
    "timestamp": 1767000100849, "direction": "buy", "price": 61100.0, "amount": 4.0, "fee": 8.0e-8,
    "fee_currency": "BTC", "liquidity": "T", "label": str(OWN), "state": "open", "profit_loss": None,
}  # fmt: skip


def understood(codec: OrderCodec, asked: OrderRequest, result: Any) -> list[OrderEvent]:
    reply = codec.decode_reply(json.dumps({"jsonrpc": "2.0", "id": 1, "result": result, "usIn": 1}).encode())
    facts, verdict = codec.decode_request_reply(asked, reply, 5)
    assert verdict is None
    return facts


def refused(codec: OrderCodec, asked: OrderRequest, code: int, message: str = "x") -> tuple[OrderEvent, Any]:
    error = {"code": code, "message": message}
    reply = codec.decode_reply(json.dumps({"id": 1, "error": error}).encode())
    facts, verdict = codec.decode_request_reply(asked, reply, 5)
    assert len(facts) == 1
    return facts[0], verdict


# --- requests ---------------------------------------------------------------------------------------------------------
def test_a_limit_order_goes_out_as_exact_decimals_with_our_id_as_its_label(codec: OrderCodec) -> None:
    method, text = codec.encode_new(request(exec_flags=int(ExecFlag.POST_ONLY | ExecFlag.REDUCE_ONLY)), UNTIL)
    assert method == "private/buy"
    assert '"price":61000.5,' in text
    assert json.loads(text) == {
        "instrument_name": "BTC-PERPETUAL", "amount": 10, "label": str(OWN), "type": "limit", "price": 61000.5,
        "time_in_force": "good_til_cancelled", "post_only": True, "reject_post_only": True, "reduce_only": True,
        "valid_until": UNTIL,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("time_in_force", "word"),
    [
        (TimeInForce.IOC, "immediate_or_cancel"),
        (TimeInForce.FOK, "fill_or_kill"),
        (TimeInForce.GTC, "good_til_cancelled"),
    ],
)
def test_times_in_force_in_the_venues_words(codec: OrderCodec, time_in_force: TimeInForce, word: str) -> None:
    _, text = codec.encode_new(request(time_in_force=time_in_force, side=Side.SELL), UNTIL)
    assert json.loads(text)["time_in_force"] == word
    assert json.loads(text)["post_only"] is False  # said, because a document of the venue's takes true for the default
    assert "reject_post_only" not in text


def test_a_market_order_and_a_linear_amount(codec: OrderCodec) -> None:
    asked = request(order_type=OrderType.MARKET, side=Side.SELL, instrument_id=LINEAR.id, quantity=1_250)
    method, text = codec.encode_new(asked, UNTIL)
    assert method == "private/sell"
    assert json.loads(text) == {
        "instrument_name": "ETH_USDC-PERPETUAL", "amount": 1.25, "label": str(OWN), "type": "market",
        "post_only": False, "valid_until": UNTIL,
    }  # fmt: skip


def test_gtd_is_the_end_of_the_venues_day_and_nothing_else(codec: OrderCodec) -> None:
    now_ns = UNTIL * 1_000_000
    end = (now_ns - DAY_END_NS) // DAY_NS * DAY_NS + DAY_END_NS + DAY_NS
    _, text = codec.encode_new(request(time_in_force=TimeInForce.GTD, expire_time_ns=end), UNTIL)
    assert json.loads(text)["time_in_force"] == "good_til_day"
    for wrong in (end - 1, end + DAY_NS, end - DAY_NS, 0):
        with pytest.raises(UnsupportedRequest, match="next 08:00 UTC"):
            codec.encode_new(request(time_in_force=TimeInForce.GTD, expire_time_ns=wrong), UNTIL)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"side": 0}, "neither BUY nor SELL"),
        ({"order_type": 7}, "neither LIMIT nor MARKET"),
        ({"instrument_id": 9}, "not one of this venue's"),
        ({"exec_flags": 1, "time_in_force": TimeInForce.IOC}, "post-only goes with"),
        ({"exec_flags": 1, "order_type": OrderType.MARKET}, "cannot be post-only"),
        ({"time_in_force": TimeInForce.FOK, "order_type": OrderType.MARKET}, "takes no time in force 3"),
        ({"exec_flags": ExecFlag.EXPIRE_MAKER}, "self-trade prevention per account"),
        ({"time_in_force": 9}, "time in force 9 is none"),
    ],
)
def test_what_the_venue_cannot_do_is_said(codec: OrderCodec, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedRequest, match=message):
        codec.encode_new(request(**fields), UNTIL)


def test_a_cancel_and_an_edit_go_by_the_venues_id_once_it_was_seen(codec: OrderCodec) -> None:
    asked = request(RequestType.CANCEL)
    assert codec.encode_cancel(asked) == ("private/cancel_by_label", f'{{"currency":"BTC","label":"{OWN}"}}')
    with pytest.raises(UnsupportedRequest, match="not known here"):
        codec.encode_replace(request(RequestType.REPLACE), UNTIL)
    understood(codec, request(), {"order": ORDER, "trades": []})
    assert codec.encode_cancel(asked) == ("private/cancel", '{"order_id":"74311500001"}')
    method, text = codec.encode_replace(request(RequestType.REPLACE, exec_flags=1), UNTIL)
    assert method == "private/edit"
    assert json.loads(text) == {
        "order_id": "74311500001", "amount": 10, "price": 61000.5, "post_only": True, "reject_post_only": True,
        "valid_until": UNTIL,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (0, {"post_only": False}),
        (ExecFlag.REDUCE_ONLY, {"post_only": False, "reduce_only": True}),
        (ExecFlag.POST_ONLY | ExecFlag.REDUCE_ONLY, {"post_only": True, "reject_post_only": True, "reduce_only": True}),
    ],
)
def test_an_edit_says_the_orders_flags_again(codec: OrderCodec, flags: int, said: dict[str, bool]) -> None:
    understood(codec, request(), {"order": ORDER, "trades": []})
    edit = json.loads(codec.encode_replace(request(RequestType.REPLACE, exec_flags=flags), UNTIL)[1])
    assert {name: edit[name] for name in edit if "only" in name} == said


def test_ids_of_ended_orders_are_forgotten_and_that_of_an_open_one_is_not(codec: OrderCodec) -> None:
    understood(codec, request(), {"order": ORDER, "trades": []})
    for number in range(3 * ENDED_ORDERS):
        own = client_order_id(6, 2, 3, 1_000 + number)
        over = ORDER | {"label": str(own), "order_id": f"9{number}", "order_state": "cancelled"}
        for _ in range(2):  # the reply and the stream
            codec.decode_order(json.dumps(over).encode(), 5)
        assert codec.exchange_ids[own] == f"9{number}".encode()
    assert len(codec.exchange_ids) == ENDED_ORDERS + 1
    assert codec.exchange_ids[OWN] == b"74311500001"


def test_what_an_instrument_settles_in_is_in_its_name() -> None:
    assert [currency_of(name) for name in ("BTC-PERPETUAL", "ETH-25DEC26-3000-C", "ETH_USDC-PERPETUAL")] == [
        "BTC", "ETH", "USDC",
    ]  # fmt: skip


# --- replies ----------------------------------------------------------------------------------------------------------
def test_an_accepted_order_answers_its_request(codec: OrderCodec) -> None:
    [fact] = understood(codec, request(), {"order": ORDER, "trades": []})
    assert (fact.event_type, fact.order_state, fact.request_id, fact.epoch) == (E.ACCEPTED, S.OPEN, 77, 3)
    assert (fact.client_order_id, fact.exchange_order_id, fact.strategy_id) == (OWN, b"74311500001", 2)
    assert (fact.price, fact.quantity, fact.cumulative_quantity) == (6_100_050, 10, 0)
    assert fact.flags == FactFlag.CUMULATIVE_KNOWN | FactFlag.TERMS_KNOWN
    assert fact.exec_flags == ExecFlag.POST_ONLY
    assert fact.exchange_time_ns == 1767000000493 * 1_000_000


def test_fills_of_a_reply_come_after_its_order_and_answer_nothing(codec: OrderCodec) -> None:
    order = ORDER | {"filled_amount": 4.0}
    first, fill = understood(codec, request(), {"order": order, "trades": [TRADE]})
    assert (first.event_type, first.order_state, first.cumulative_quantity) == (E.ACCEPTED, S.PARTIALLY_FILLED, 4)
    assert (fill.event_type, fill.request_id, fill.trade_id, fill.text) == (E.FILL, 0, b"123000306", b"208400104")
    assert (fill.last_price, fill.last_quantity, fill.fee, fill.fee_currency) == (6_110_000, 4, 8, b"BTC")
    assert (fill.liquidity, fill.parts) == (Liquidity.TAKER, FillPart.QUANTITY | FillPart.FEE)


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        (RequestType.NEW, {"order_state": "filled", "filled_amount": 10}, (E.STATUS, S.FILLED, 0)),
        (
            RequestType.NEW, {"order_state": "cancelled", "time_in_force": "immediate_or_cancel"},
            (E.STATUS, S.EXPIRED, Reason.VENUE_EXPIRED),
        ),
        (RequestType.REPLACE, {"replaced": True, "amount": 20}, (E.REPLACED, S.OPEN, 0)),
        (
            RequestType.REPLACE, {"order_state": "filled", "filled_amount": 10},
            (E.REPLACED, S.FILLED, 0),
        ),
        (
            RequestType.REPLACE,
            {"order_state": "cancelled", "cancel_reason": "edit_post_only_reject"},
            (E.CANCELED, S.CANCELED, Reason.VENUE_POST_ONLY),
        ),
    ],
)  # fmt: skip
def test_what_a_reply_says_of_the_order(
    codec: OrderCodec, kind: RequestType, changes: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    [fact] = understood(codec, request(kind), {"order": ORDER | changes, "trades": []})
    assert (fact.event_type, fact.order_state, fact.reason) == expected
    assert fact.request_id == 77


def test_a_canceled_order_and_a_queried_one(codec: OrderCodec) -> None:
    ended = ORDER | {"order_state": "cancelled", "cancel_reason": "user_request"}
    [fact] = understood(codec, request(RequestType.CANCEL), ended)
    assert (fact.event_type, fact.reason) == (E.CANCELED, Reason.VENUE_USER_CANCEL)
    query = request(RequestType.QUERY)
    [fact] = understood(codec, query, [ORDER])
    assert (fact.event_type, fact.order_state) == (E.STATUS, S.OPEN)
    reply = codec.decode_reply(b'{"id":1,"result":[]}')
    [fact], verdict = codec.decode_request_reply(query, reply, 5)
    assert (fact.reason, verdict and verdict.outcome) == (Reason.VENUE_UNKNOWN_ORDER, Outcome.REFUSED)


@pytest.mark.parametrize(("count", "kind"), [(0, E.CANCEL_REJECTED), (1, E.UNKNOWN)])
def test_a_cancel_by_label_tells_only_how_many(codec: OrderCodec, count: int, kind: EventType) -> None:
    reply = codec.decode_reply(b'{"id":1,"result":%d}' % count)
    [fact], _ = codec.decode_request_reply(request(RequestType.CANCEL), reply, 5)
    assert fact.event_type == kind


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (11054, E.REJECTED, Reason.VENUE_POST_ONLY),
        (10009, E.REJECTED, Reason.VENUE_INSUFFICIENT_MARGIN),
        (10007, E.REJECTED, Reason.VENUE_FILTER),
        (10028, E.REJECTED, Reason.VENUE_RATE_LIMIT),
        (13888, E.REJECTED, Reason.VENUE_TIMESTAMP),
        (10013, E.REJECTED, Reason.VENUE_REJECTED),
        (99999, E.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
        (11094, E.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
        (10040, E.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN),
    ],
)
def test_an_error_is_a_refusal_where_the_venues_table_calls_it_one(
    codec: OrderCodec, code: int, kind: EventType, reason: Reason
) -> None:
    fact, verdict = refused(codec, request(), code, "words 61500.0")
    assert (fact.event_type, fact.reason, fact.error_code, fact.text) == (kind, reason, code, b"words 61500.0")
    assert (verdict.outcome is Outcome.UNKNOWN) == (kind == E.UNKNOWN)


@pytest.mark.parametrize("result", [None, "ok", {}, {"order": {}}, {"order": ORDER | {"order_state": "new"}}])
def test_a_success_that_cannot_be_read_is_unknown(codec: OrderCodec, result: Any) -> None:
    reply = codec.decode_reply(json.dumps({"id": 1, "result": result}).encode())
    [fact], verdict = codec.decode_request_reply(request(), reply, 5)
    assert (fact.event_type, fact.request_id) == (E.UNKNOWN, 77)
    assert verdict is not None


# --- user.changes -----------------------------------------------------------------------------------------------------
def changes(codec: OrderCodec, **parts: Any) -> list[OrderEvent]:
    data = {"instrument_name": "BTC-PERPETUAL", "orders": [], "trades": [], "positions": []} | parts
    return codec.changes(codec.decode_changes(json.dumps(data).encode()), 5)


def test_one_message_tells_the_order_first_and_then_its_fills(codec: OrderCodec) -> None:
    order = ORDER | {"order_state": "filled", "filled_amount": 10.0, "price": 6.12e4}
    status, fill = changes(codec, orders=[order], trades=[TRADE | {"amount": 10}])
    assert (status.event_type, status.order_state, status.price) == (E.STATUS, S.FILLED, 6_120_000)
    assert (fill.event_type, fill.last_quantity) == (E.FILL, 10)
    assert status.flags & fill.flags & FactFlag.STREAM


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (E.ACCEPTED, Reason.NONE)),
        ({"replaced": True}, (E.REPLACED, Reason.NONE)),
        ({"order_state": "cancelled", "cancel_reason": "user_request"}, (E.CANCELED, Reason.VENUE_USER_CANCEL)),
        ({"order_state": "cancelled", "cancel_reason": "cancel_on_disconnect"}, (E.CANCELED, Reason.DISCONNECTED)),
        ({"order_state": "cancelled", "cancel_reason": "autoliquidation"}, (E.CANCELED, Reason.VENUE_LIQUIDATION)),
        ({"order_state": "cancelled", "cancel_reason": "settlement"}, (E.EXPIRED, Reason.VENUE_EXPIRED)),
        ({"order_state": "cancelled", "cancel_reason": "new_reason"}, (E.CANCELED, Reason.VENUE_REJECTED)),
    ],
)
def test_ends_and_their_reasons(codec: OrderCodec, change: dict[str, Any], expected: tuple[int, int]) -> None:
    [fact] = changes(codec, orders=[ORDER | change])
    assert (fact.event_type, fact.reason) == expected


def test_orders_of_others_get_an_id_that_cannot_be_ours(codec: OrderCodec) -> None:
    labels = ["", "by hand", str(client_order_id(7, 2, 3, 17)), str(1 << 64)]
    facts = [changes(codec, orders=[ORDER | {"label": label}])[0] for label in labels]
    assert {fact.client_order_id for fact in facts} == {facts[0].client_order_id}
    assert facts[0].client_order_id >> 63 == 0
    [other] = changes(codec, orders=[ORDER | {"label": "", "order_id": "ETH-74311500001"}])
    assert other.client_order_id != facts[0].client_order_id


def test_instruments_that_are_not_configured_are_passed_over(codec: OrderCodec) -> None:
    assert changes(codec, instrument_name="SOL-PERPETUAL", orders=[ORDER | {"instrument_name": "SOL-PERPETUAL"}]) == []


def test_a_trigger_order_has_no_price_yet(codec: OrderCodec) -> None:
    [fact] = changes(codec, orders=[ORDER | {"price": "market_price", "order_state": "untriggered", "label": ""}])
    assert (fact.price, fact.order_state) == (0, S.OPEN)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"instrument_name":"BTC-PERPETUAL","orders":[{}]}'])
def test_changes_of_another_shape_are_said(codec: OrderCodec, data: bytes) -> None:
    with pytest.raises(MalformedMessage, match=r"user\.changes"):
        codec.decode_changes(data)


# --- positions and money ----------------------------------------------------------------------------------------------
POSITION = {
    "size": -60.0, "size_currency": -0.001308984, "direction": "sell", "average_price": 47182.76, "kind": "future",
    "instrument_name": "BTC-PERPETUAL", "total_profit_loss": 3.7333e-5, "realized_profit_loss": -4.0e-9,
}  # fmt: skip


def test_a_short_is_negative_however_it_is_written(codec: OrderCodec) -> None:
    for size, direction in ((-60.0, "sell"), (60.0, "sell"), (-60.0, "")):
        [row] = codec.decode_positions(json.dumps([POSITION | {"size": size, "direction": direction}]).encode(), 9)
        assert (row.position, row.entry_price, row.unrealized_pnl) == (-60, 47182.76, 3733)
        assert row.accumulated_realized_pnl == 0  # less than the last decimal, rounded to even
    [row] = codec.decode_positions(json.dumps([POSITION | {"size": 0, "direction": "zero"}]).encode(), 9)
    assert row.position == 0


def test_a_position_of_user_changes_has_the_time_of_what_moved_it(codec: OrderCodec) -> None:
    data = {"instrument_name": "BTC-PERPETUAL", "orders": [ORDER], "trades": [TRADE], "positions": [POSITION]}
    [row] = codec.position_rows(codec.decode_changes(json.dumps(data).encode()), 9)
    assert (row.exchange_time_ns, row.receive_time_ns) == (1767000100849 * 1_000_000, 9)


def test_balances_of_the_portfolio_and_of_the_summaries(codec: OrderCodec) -> None:
    entry = {"currency": "BTC", "balance": 1.5, "available_funds": 1.25e0, "session_upl": -2e-8, "equity": 1.4}
    row = codec.balance_row(json.dumps(entry).encode(), 9)
    assert (row.currency, row.wallet_balance, row.available_balance, row.unrealized_pnl) == (
        b"BTC", 150_000_000, 125_000_000, -2,
    )  # fmt: skip
    [again] = codec.decode_balances(json.dumps({"summaries": [entry]}).encode(), 9)
    assert again == row


def test_limits_in_both_forms(codec: OrderCodec) -> None:
    total = {"rate": 10, "burst": 30}
    limits = {"limits_per_currency": False, "matching_engine": {"trading": {"total": total}, "spot": total}}
    found = codec.decode_limits(json.dumps({"limits": limits}).encode())
    assert (found.matching_engine.trading.total.rate, found.matching_engine.trading.total.burst) == (10, 30)
    per_currency = {"limits_per_currency": True, "matching_engine": {"btc": {"trading": {"total": total}}}}
    found = codec.decode_limits(json.dumps({"limits": per_currency}).encode())
    assert found.matching_engine.trading.total.rate == 0


# --- recordings -------------------------------------------------------------------------------------------------------
def test_the_recorded_life_of_an_order(corpus: Path) -> None:
    codec = OrderCodec(OrderInstruments([LINEAR]), 6)
    folder = corpus / "deribit" / "nautilus_trader"
    kinds = []
    for name, kind in (
        ("buy", RequestType.NEW),
        ("edit", RequestType.REPLACE),
        ("cancel", RequestType.CANCEL),
    ):
        reply = codec.decode_reply((folder / f"ws_order_{name}_response.json").read_bytes())
        [fact], verdict = codec.decode_request_reply(request(kind, instrument_id=LINEAR.id), reply, 5)
        assert verdict is None
        assert fact.exchange_order_id == b"USDC-104819327443"
        kinds.append(fact.event_type)
    assert kinds == [E.ACCEPTED, E.REPLACED, E.CANCELED]
    balance = codec.balance_row(
        json.dumps(json.loads((folder / "ws_portfolio.json").read_bytes())["params"]["data"]).encode(), 1
    )
    assert balance.wallet_balance > 0


@pytest.mark.parametrize(
    ("scope", "enabled", "on"), [("connection", True, True), ("connection", False, False), ("account", True, False)]
)
def test_only_the_venues_word_on_the_connection_itself_proves_the_switch(
    codec: OrderCodec, scope: str, enabled: bool, on: bool
) -> None:
    assert codec.decode_switch(json.dumps({"scope": scope, "enabled": enabled}).encode()) is on
