"""VenueLink: everything the trader holds of one venue: its three adapters, its session, its instruments by symbol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shm.table import TableReader
    from strategy.shm_mds_adapter import ShmMDSAdapter
    from strategy.shm_oms_adapter import ShmOMSAdapter
    from strategy.shm_pms_adapter import ShmPMSAdapter
    from strategy.venue_session import VenueSession


@dataclass(slots=True)
class VenueLink:
    """Made by the trader, used by the container. `status` and `engine_row` say where the engine's row stands."""

    name: str
    code: int
    mds: ShmMDSAdapter
    oms: ShmOMSAdapter
    pms: ShmPMSAdapter
    session: VenueSession
    status: TableReader
    engine_row: int
    resync_word: int
    ids: dict[str, int] = field(default_factory=dict)
    """Symbol -> instrument id, of the instruments that this trader watches at the venue."""
    cancels_strays: bool = True
    """What happens at a start to own orders of strategies that this trader does not have."""
    laps_seen: int = 0
