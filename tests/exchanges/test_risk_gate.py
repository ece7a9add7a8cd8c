"""The engine's gate: what it refuses, what always passes, and how it stays tripped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.adapter import ConfigurationError
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_store import Order, OrderStore
from exchanges.risk_gate import GateState, RiskGate
from exchanges.risk_limits import RiskLimits
from shm.layout import OrderState, OrderType, Reason, RequestType, Side
from shm.records import OrderRequest
from tests.exchanges.order_world import BTC, ETH, SECOND

LIMITS = RiskLimits(
    max_order_quantity={BTC.id: 100},
    max_order_notional=5_000 * 10**8,
    max_position={BTC.id: 200},
    max_open_orders=3,
    max_orders_per_second=10.0,
    collar=0.05,
)
MID = 60_000.0


class Desk:
    """A gate with a store and a mid price of its own."""

    def __init__(self, limits: RiskLimits | None = LIMITS, trip: Path | None = None) -> None:
        self.mid: float | None = MID
        self.store = OrderStore()
        self.gate = RiskGate(limits, self.store, lambda identifier: self.mid, trip)
        self.gate.seed(BTC.id, 0, 0)
        self.now = 10 * SECOND
        self._ids = 0

    def request(self, side: Side = Side.BUY, quantity: int = 10, price: int = 6_000_000) -> OrderRequest:
        request = OrderRequest()
        request.request_type, request.order_type = RequestType.NEW, OrderType.LIMIT
        request.side, request.quantity, request.price, request.instrument_id = side, quantity, price, BTC.id
        self._ids += 1
        request.client_order_id = self._ids
        return request

    def check(self, side: Side = Side.BUY, quantity: int = 10, price: int = 6_000_000) -> Reason:
        return self.gate.check_new(self.request(side, quantity, price), BTC, self.now)

    def open(self, side: Side, quantity: int) -> Order:
        order = Order.from_request(self.request(side, quantity), None)
        order.state = OrderState.OPEN
        self.store.add(order)
        return order

    def position(self, net: int) -> None:
        self.gate.seed(BTC.id, net, 0)


def test_a_modest_order_passes() -> None:
    assert Desk().check() == Reason.NONE


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"quantity": 101}, Reason.RISK_SIZE),
        ({"quantity": 100}, Reason.RISK_NOTIONAL),
        ({"price": 6_300_010}, Reason.RISK_COLLAR),
        ({"price": 5_699_990}, Reason.RISK_COLLAR),
        ({"quantity": 0}, Reason.BAD_REQUEST),
        ({"price": 6_000_005}, Reason.BAD_REQUEST),
        ({"price": -10}, Reason.BAD_REQUEST),
    ],
)
def test_each_limit_has_its_reason(fields: dict[str, int], reason: Reason) -> None:
    assert Desk().check(**fields) == reason  # type: ignore[arg-type]


def test_limits_themselves_are_allowed() -> None:
    desk = Desk()
    assert desk.check(price=6_300_000) == Reason.NONE
    assert desk.check(quantity=83, price=6_000_000) == Reason.NONE  # 4,980 of 5,000
    assert desk.check(quantity=84, price=6_000_000) == Reason.RISK_NOTIONAL


def test_no_limits_no_orders() -> None:
    desk = Desk(None)
    assert desk.check() == Reason.RISK_NO_LIMITS
    assert desk.gate.state == GateState.NO_LIMITS


def test_an_instrument_without_limits_takes_no_orders() -> None:
    desk = Desk()
    desk.gate.seed(ETH.id, 0, 0)
    request = desk.request()
    request.instrument_id = ETH.id
    assert desk.gate.check_new(request, ETH, desk.now) == Reason.RISK_NO_LIMITS


def test_before_the_position_is_known_nothing_passes() -> None:
    desk = Desk()
    gate = RiskGate(LIMITS, OrderStore(), lambda identifier: MID)
    assert gate.check_new(desk.request(), BTC, desk.now) == Reason.NOT_READY
    assert gate.state == GateState.NOT_SEEDED


def test_without_a_good_book_only_reducing_orders_pass() -> None:
    desk = Desk()
    desk.mid = None
    assert desk.check() == Reason.RISK_STALE_DATA
    desk.position(50)
    assert desk.check(Side.SELL, 50) == Reason.NONE
    assert desk.check(Side.BUY, 1) == Reason.RISK_STALE_DATA


def test_the_position_limit_counts_all_that_is_open_on_that_side() -> None:
    desk = Desk()
    desk.position(150)
    desk.open(Side.BUY, 30)
    desk.open(Side.SELL, 100)
    assert desk.check(Side.BUY, 20) == Reason.NONE
    assert desk.check(Side.BUY, 21) == Reason.RISK_POSITION
    assert desk.check(Side.SELL, 83) == Reason.NONE


def test_filled_orders_make_room_for_others_but_move_the_position() -> None:
    desk = Desk()
    order = desk.open(Side.BUY, 80)
    assert desk.store.totals(BTC.id).buy == 80
    order.cumulative_quantity = 80
    order.state = OrderState.FILLED
    desk.store.closed(order, desk.now)
    desk.gate.on_fill(BTC.id, Side.BUY, 80, 5)
    assert desk.store.totals(BTC.id).buy == 0
    assert desk.gate.net_position(BTC.id) == 80


def test_reducing_orders_pass_every_limit() -> None:
    desk = Desk()
    desk.position(-180)
    for _ in range(3):
        desk.open(Side.SELL, 1)
    assert desk.check(Side.BUY, 180, 9_000_000) == Reason.NONE, "size, notional, collar and count do not hold it"
    desk.open(Side.BUY, 100)
    assert desk.check(Side.BUY, 81, 9_000_000) != Reason.NONE, "more than is left to reduce"
    assert desk.check(Side.BUY, 80, 9_000_000) == Reason.NONE


def test_the_number_of_open_orders_is_limited() -> None:
    desk = Desk()
    for _ in range(3):
        desk.open(Side.BUY, 1)
    assert desk.check() == Reason.RISK_OPEN_ORDERS


def test_the_rate_is_limited_and_recovers() -> None:
    desk = Desk()
    assert [desk.check() for _ in range(11)].count(Reason.NONE) == 10
    assert desk.check() == Reason.RISK_RATE
    desk.now += SECOND // 10
    assert desk.check() == Reason.NONE
    assert desk.check() == Reason.RISK_RATE


def test_a_replace_counts_only_what_it_adds() -> None:
    desk = Desk()
    desk.position(150)
    order = desk.open(Side.BUY, 50)
    request = desk.request(Side.BUY, 50, 6_100_000)
    assert desk.gate.check_replace(request, order, BTC, desk.now) == Reason.NONE
    request.quantity = 51
    assert desk.gate.check_replace(request, order, BTC, desk.now) == Reason.RISK_POSITION
    request.quantity, request.price = 40, 6_400_000
    assert desk.gate.check_replace(request, order, BTC, desk.now) == Reason.RISK_COLLAR


def test_a_position_beyond_its_limit_trips_until_an_operator_resets_it(tmp_path: Path) -> None:
    path = tmp_path / "trip"
    desk = Desk(trip=path)
    desk.position(199)
    assert desk.gate.state == GateState.ACTIVE
    desk.gate.on_fill(BTC.id, Side.BUY, 2, 5)
    assert desk.gate.state == GateState.TRIPPED
    assert desk.check(Side.BUY, 1) == Reason.RISK_POSITION
    assert desk.check(Side.SELL, 50) == Reason.NONE
    again = Desk(trip=path)
    assert again.gate.state == GateState.TRIPPED, "a restart does not forget"
    assert again.check(Side.BUY, 1) == Reason.RISK_POSITION
    again.gate.reset()
    assert again.check(Side.BUY, 1) == Reason.NONE
    assert not path.exists()


def test_a_fill_that_the_snapshot_holds_is_not_counted_twice() -> None:
    desk = Desk()
    desk.gate.on_fill(BTC.id, Side.BUY, 10, 100)
    desk.gate.on_fill(BTC.id, Side.BUY, 7, 200)
    desk.gate.seed(BTC.id, 10, 150)  # taken between the two
    assert desk.gate.net_position(BTC.id) == 17
    desk.gate.on_fill(BTC.id, Side.SELL, 3, 140)  # late news of an earlier trade: the snapshot knew it
    assert desk.gate.net_position(BTC.id) == 17
    desk.gate.on_fill(BTC.id, Side.SELL, 3, 210)
    assert desk.gate.net_position(BTC.id) == 14


@given(
    fills=st.lists(
        st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 20), st.integers(1, 100)), max_size=20
    ),
    at=st.integers(0, 100),
    known=st.integers(0, 20),
)
def test_a_snapshot_at_any_time_gives_the_same_position(
    fills: list[tuple[Side, int, int]], at: int, known: int
) -> None:
    """Whether a fill is heard before or after the snapshot, it counts once: by the venue's time."""
    signed = [(quantity if side == Side.BUY else -quantity, time) for side, quantity, time in fills]
    desk = Desk(RiskLimits({BTC.id: 1}, 1, {BTC.id: 10**9}, 1, 1.0, 0.1))
    gate = RiskGate(None, desk.store, lambda identifier: None)
    for side, quantity, time in fills[:known]:
        gate.on_fill(BTC.id, side, quantity, time)
    gate.seed(BTC.id, sum(quantity for quantity, time in signed if time <= at), at)
    for side, quantity, time in fills[known:]:
        gate.on_fill(BTC.id, side, quantity, time)
    assert gate.net_position(BTC.id) == sum(quantity for quantity, _ in signed)


def test_limits_come_exactly_from_the_config() -> None:
    settings = SimpleNamespace(
        max_order_quantity={"BTCUSDT": "0.05", "XRPUSDT": "7"},
        max_order_notional="1234.5",
        max_position={"BTCUSDT": "1"},
        max_open_orders=7,
        max_orders_per_second=2.5,
        collar=0.02,
    )
    instruments = OrderInstruments([BTC, ETH])
    limits = RiskLimits.from_settings(settings, instruments)
    assert limits.max_order_quantity == {BTC.id: 50}
    assert limits.max_position == {BTC.id: 1_000}
    assert limits.max_order_notional == 123_450_000_000
    settings.max_position = {"BTCUSDT": "0.0001"}
    with pytest.raises(ConfigurationError, match=r"max_position\.BTCUSDT"):
        RiskLimits.from_settings(settings, instruments)


WORD = st.integers(1, 2**63 - 1)


@given(
    price=st.integers(1, 10**9) | WORD,
    quantity=st.integers(1, 10**9) | WORD,
    size=st.integers(1, 10**10) | WORD | st.integers(2**63, 2**80),
    scales=st.tuples(st.integers(0, 18), st.integers(0, 18)),
    inverse=st.booleans(),
    off=st.integers(-2, 2) | st.integers(-(2**130), 2**130),
)
def test_the_notional_limit_is_exact_for_every_price_quantity_and_contract(
    price: int, quantity: int, size: int, scales: tuple[int, int], inverse: bool, off: int
) -> None:
    """The gate compares products of 128 bits; the instrument divides whole numbers of any length."""
    instrument = OrderInstrument(7 << 16, "X", *scales, contract_size=size, inverse=inverse)
    notional = instrument.notional(price, quantity)
    limits = RiskLimits({instrument.id: 2**64}, notional + off, {instrument.id: 2**70}, 3, 1e9, 0.5)
    gate = RiskGate(limits, OrderStore(), lambda identifier: price / 10 ** scales[0])
    gate.seed(instrument.id, 0, 0)
    request = OrderRequest()
    request.request_type, request.order_type, request.side = RequestType.NEW, OrderType.LIMIT, Side.BUY
    request.price, request.quantity, request.instrument_id = price, quantity, instrument.id
    expected = Reason.RISK_NOTIONAL if off < 0 else Reason.NONE
    assert gate.check_new(request, instrument, SECOND) == expected


def test_an_instrument_whose_row_changed_is_checked_by_the_new_one() -> None:
    desk = Desk()
    assert desk.check(quantity=10) == Reason.NONE
    coarser = msgspec.structs.replace(BTC, lot_size=4, tick_size=7)
    assert desk.gate.check_new(desk.request(quantity=10), coarser, desk.now) == Reason.BAD_REQUEST
    assert desk.gate.check_new(desk.request(quantity=12), coarser, desk.now) == Reason.BAD_REQUEST, "not a tick"
    assert desk.gate.check_new(desk.request(quantity=12, price=7 * 857_000), coarser, desk.now) == Reason.NONE
    larger = msgspec.structs.replace(BTC, contract_size=BTC.contract_size * 100)
    assert desk.gate.check_new(desk.request(quantity=10), larger, desk.now) == Reason.RISK_NOTIONAL
    assert desk.check(quantity=10) == Reason.NONE
