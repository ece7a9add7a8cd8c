"""The position server as a process of its own."""

from __future__ import annotations

import signal

from exchanges.binance.simulator import SimulatorServer
from processes.exit_codes import ExitCode
from shm.layout import ProcessState
from shm.records import BalanceRow, PositionRow
from shm.table import TableReader
from tests.exchanges.binance.simulator_client import Client
from tests.processes.engine_place import Place, Places


def position(place: Place) -> PositionRow:
    row = PositionRow()
    TableReader(place.instance.segment("binance.positions")).read(place.instrument_id & 0xFFFF, row)
    return row


def balance(place: Place) -> BalanceRow:
    row = BalanceRow()
    TableReader(place.instance.segment("binance.balances")).read(0, row)
    return row


async def test_it_keeps_the_tables_true_from_start_to_stop(
    places: Places, market: tuple[SimulatorServer, Client]
) -> None:
    server, client = market
    place = places()
    process = await place.ready("position-server")
    assert (position(place).position, position(place).valid) == (0, 1)
    assert (balance(place).currency, balance(place).wallet_balance) == (b"USDT", 100_000 * 10**8)
    assert (await client.order("BUY", "0.003"))[0] == 200
    await place.until(lambda: position(place).position == 3)
    account = next(iter(server.exchange.accounts.values()))
    await place.until(lambda: balance(place).wallet_balance == int(account.wallet * 10**8))
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == ExitCode.OK
    assert (position(place).valid, position(place).position) == (0, 3), "what a dead server knew is not to be traded on"


async def test_a_wrong_key_ends_it_with_a_sentence_and_its_own_code(places: Places) -> None:
    place = places(credentials='credentials = "bad"')
    process = await place.start("position-server", CORELANE_BAD_API_KEY="nobody", CORELANE_BAD_SECRET="nothing-at-all")
    assert await process.wait() == ExitCode.CREDENTIALS
    words = await place.errors()
    assert "venue refused" in words
    assert "Traceback" not in words


async def test_an_unreachable_venue_is_tried_again_with_clear_words(places: Places) -> None:
    place = places(rest="http://127.0.0.1:9")
    process = await place.start("position-server")
    await place.until(lambda: place.row("position_server.binance").state == ProcessState.UNHEALTHY)
    assert b"cannot be reached" in place.row("position_server.binance").text
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == ExitCode.OK
