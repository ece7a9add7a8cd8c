"""Process main: the venue itself on a loopback port, so that the whole system can run without an exchange.

Reads: orders of the world, over the venue's wire protocol. Writes: nothing of ours; it touches no ring and no table
but its own status row. Started by `corelane simulator VENUE` and first of all by the supervisor.
"""

from __future__ import annotations

import asyncio

from exchanges.binance.simulator import ApiKey, SimulatorOptions, SimulatorServer, serve
from exchanges.simulator.errors import PortBusy
from exchanges.simulator.flow import FlowState
from processes.app_service import AppService
from processes.exit_codes import ExitCode, Failure
from processes.secrets import resolve, simulator_credentials
from shm.layout import ProcessState

HEALTH_EVERY_S = 0.5


def run(service: AppService, venue: str) -> int:
    """Serve until asked to stop; the exit code."""
    if venue != "binance":
        raise Failure(f"simulator {venue}: found no simulator of that venue, expected binance", ExitCode.CONFIG)

    async def main(service: AppService) -> None:
        try:
            server = await serve(simulator_options(service, venue))
        except PortBusy as error:
            raise Failure(str(error), ExitCode.ADDRESS_IN_USE) from None
        try:
            service.set_state(ProcessState.READY, server.rest_url)
            await _watch(service, server)
        finally:
            await server.close()

    return service.run_async(main)


def simulator_options(service: AppService, venue: str) -> SimulatorOptions:
    """The config's words as the simulator's options. Symbols are those the venue's servers will ask for."""
    settings = service.config.simulators[venue]
    traded = service.config.venues.get(venue)
    pair = simulator_credentials(venue)
    if traded is not None and traded.environment == "simulator":
        pair = resolve(service.config, venue) or pair
    return SimulatorOptions(
        host=settings.host,
        port=settings.port,
        symbols=tuple(traded.symbols) if traded is not None else ("BTCUSDT",),
        recordings=(settings.recording,) if settings.recording else (),
        seed=settings.seed,
        speed=settings.speed,
        api_keys=(ApiKey(pair.api_key, pair.secret),),
        wallet_balance=settings.wallet_balance,
        maker_fee=settings.maker_fee,
        taker_fee=settings.taker_fee,
    )


async def _watch(service: AppService, server: SimulatorServer) -> None:
    """Until asked to stop. A flow that ends is said once; one that breaks ends the process."""
    said: set[int] = set()
    while not service.stopping.is_set():
        for index, player in enumerate(server.players):
            if player.failure is not None:
                raise player.failure
            if player.state is FlowState.ENDED and index not in said:
                said.add(index)
                service.log.warning("%s: the recording has ended, the market stands still", player.flow.symbols[0])
        try:
            await asyncio.wait_for(service.stopping.wait(), HEALTH_EVERY_S)
        except TimeoutError:
            continue
