"""Process main: the venue itself on a loopback port, so that the whole system can run without an exchange.

Reads: orders of the world, over the venue's wire protocol. Writes: nothing of ours; it touches no ring and no table
but its own status row. Started by `corelane simulator VENUE` and first of all by the supervisor.
"""

from __future__ import annotations

import asyncio

from exchanges.binance import simulator as binance
from exchanges.deribit import simulator as deribit
from exchanges.grvt import simulator as grvt
from exchanges.simulator.errors import PortBusy
from exchanges.simulator.flow import FlowState
from exchanges.simulator.server import LoopbackServer
from processes.app_service import AppService
from processes.config_schema import SimulatorConfig
from processes.exit_codes import ExitCode, Failure
from processes.secrets import Credentials, resolve, simulator_credentials
from shm.layout import ProcessState

HEALTH_EVERY_S = 0.5
VENUES = ("binance", "deribit", "grvt")


def run(service: AppService, venue: str) -> int:
    """Serve until asked to stop; the exit code."""
    if venue not in VENUES:
        expected = " or ".join(VENUES)
        raise Failure(f"simulator {venue}: found no simulator of that venue, expected {expected}", ExitCode.CONFIG)

    async def main(service: AppService) -> None:
        try:
            server = await start(service, venue)
        except PortBusy as error:
            raise Failure(str(error), ExitCode.ADDRESS_IN_USE) from None
        try:
            service.set_state(ProcessState.READY, server.rest_url)
            await _watch(service, server)
            service.log.info("the venue closes with %d open orders", server.exchange.open_count())
        finally:
            await server.close()

    return service.run_async(main)


async def start(service: AppService, venue: str) -> LoopbackServer:
    """The venue's running server, as the config asks for it."""
    if venue == "deribit":
        return await deribit.serve(deribit_options(service))
    if venue == "grvt":
        return await grvt.serve(grvt_options(service))
    return await binance.serve(binance_options(service))


def binance_options(service: AppService) -> binance.SimulatorOptions:
    """The config's words as the simulator's options. Symbols are those the venue's servers will ask for."""
    settings, pair, symbols = _asked(service, "binance")
    return binance.SimulatorOptions(
        host=settings.host,
        port=settings.port,
        symbols=symbols or ("BTCUSDT",),
        recordings=(settings.recording,) if settings.recording else (),
        seed=settings.seed,
        speed=settings.speed,
        api_keys=(binance.ApiKey(pair.api_key, pair.secret),),
        wallet_balance=settings.wallet_balance,
        maker_fee=settings.maker_fee,
        taker_fee=settings.taker_fee,
    )


def deribit_options(service: AppService) -> deribit.SimulatorOptions:
    """The same for Deribit. `wallet_balance` is in dollars there: coins worth as much, and as many USDC."""
    settings, pair, symbols = _asked(service, "deribit")
    if settings.recording:
        raise Failure(
            "simulators.deribit.recording: found a file, expected none: this simulator plays no recordings",
            ExitCode.CONFIG,
        )
    return deribit.SimulatorOptions(
        host=settings.host,
        port=settings.port,
        symbols=symbols,
        chain=settings.option_chain,
        seed=settings.seed,
        speed=settings.speed,
        api_keys=(deribit.ApiKey(pair.api_key, pair.secret),),
        wallets=deribit.wallets_worth(settings.wallet_balance),
        maker_fee=settings.maker_fee,
        taker_fee=settings.taker_fee,
    )


def grvt_options(service: AppService) -> grvt.SimulatorOptions:
    """The same for GRVT. The account is the configured one, or a number of the simulator's own."""
    settings, pair, symbols = _asked(service, "grvt")
    if settings.recording:
        raise Failure(
            "simulators.grvt.recording: found a file, expected none: this simulator plays no recordings",
            ExitCode.CONFIG,
        )
    traded = service.config.venues.get("grvt")
    account = (traded.account if traded is not None else "") or grvt.DEMO_KEY.account
    return grvt.SimulatorOptions(
        host=settings.host,
        port=settings.port,
        symbols=symbols or grvt.DEFAULT_SYMBOLS,
        seed=settings.seed,
        speed=settings.speed,
        api_keys=(grvt.ApiKey(pair.api_key, pair.secret, account),),
        wallet_balance=settings.wallet_balance,
        maker_fee=settings.maker_fee,
        taker_fee=settings.taker_fee,
    )


def _asked(service: AppService, venue: str) -> tuple[SimulatorConfig, Credentials, tuple[str, ...]]:
    """(the simulator's section, the key pair it knows, the symbols that the venue's servers will ask for)."""
    traded = service.config.venues.get(venue)
    pair = simulator_credentials(venue)
    if traded is not None and traded.environment == "simulator":
        pair = resolve(service.config, venue) or pair
    return service.config.simulators[venue], pair, tuple(traded.symbols) if traded is not None else ()


async def _watch(service: AppService, server: LoopbackServer) -> None:
    """Until asked to stop. A flow that ends is said once; one that breaks ends the process."""
    said: set[int] = set()
    while not service.stopping.is_set():
        if server.failure is not None:
            raise server.failure
        for index, player in enumerate(server.players):
            if player.state is FlowState.ENDED and index not in said:
                said.add(index)
                service.log.warning("%s: the recording has ended, the market stands still", player.flow.symbols[0])
        try:
            await asyncio.wait_for(service.stopping.wait(), HEALTH_EVERY_S)
        except TimeoutError:
            continue
