"""Calls about the session: login, heartbeat, cancel-on-disconnect, subscriptions, and the small public ones."""

from __future__ import annotations

from typing import Any

from exchanges.deribit.simulator_auth import auth_result
from exchanges.deribit.simulator_channels import Channel, parse_channel
from exchanges.deribit.simulator_errors import VenueError, invalid
from exchanges.deribit.simulator_streams import RpcConnection
from exchanges.deribit.simulator_venue import CURRENCIES, VERSION, Call, Venue

SHORTEST_HEARTBEAT_S = 10
MAX_LABEL = 16
ON_AN_INSTRUMENT = ("book", "grouped_book", "trades", "ticker", "incremental_ticker", "quote", "perpetual")


def auth(venue: Venue, call: Call) -> Any:
    connection = call.connection
    token = venue.tokens.log_in(call.parameters, connection, call.now_ms)
    if connection is not None:
        if connection.token is None and token.account in venue.account_cod:
            connection.cancel_on_disconnect = True
        connection.token = token
    return auth_result(token, call.now_ms, call.parameters.optional_text("state"))


def logout(venue: Venue, call: Call) -> Any:
    """No answer: the connection is closed, and cancel-on-disconnect stays out of it."""
    connection = socket_of(call)
    if call.parameters.boolean("invalidate_token", True) and call.token is not None:
        venue.tokens.revoke(call.token)
    connection.logged_out = True
    call.closes = True
    return None


def hello(venue: Venue, call: Call) -> Any:
    call.parameters.text("client_name")
    call.parameters.text("client_version")
    return {"version": VERSION}


def test(venue: Venue, call: Call) -> Any:
    if call.parameters.optional_text("expected_result") == "exception":
        raise VenueError(11094)
    return {"version": VERSION}


def get_time(venue: Venue, call: Call) -> Any:
    return call.now_ms


def status(venue: Venue, call: Call) -> Any:
    locked = sorted(
        {market.listing.index for market in venue.markets.values() if market.state in ("locked", "settlement")}
    )
    everything = len(locked) == len(venue.indices)
    return {"locked": "true" if everything else "partial" if locked else "false", "locked_indices": locked}


# --- heartbeat --------------------------------------------------------------------------------------------------------
def set_heartbeat(venue: Venue, call: Call) -> Any:
    interval = call.parameters.integer("interval")
    if interval < SHORTEST_HEARTBEAT_S:
        raise invalid("interval", f"must be at least {SHORTEST_HEARTBEAT_S}")
    socket_of(call).set_heartbeat(interval, call.now_ms)
    return "ok"


def disable_heartbeat(venue: Venue, call: Call) -> Any:
    socket_of(call).set_heartbeat(0, call.now_ms)
    return "ok"


# --- cancel on disconnect ---------------------------------------------------------------------------------------------
def enable_cod(venue: Venue, call: Call) -> Any:
    connection = socket_of(call)
    if _scope(call) == "account":
        venue.account_cod.add(call.owner)
    connection.cancel_on_disconnect = True
    return "ok"


def disable_cod(venue: Venue, call: Call) -> Any:
    connection = socket_of(call)
    if _scope(call) == "account":
        venue.account_cod.discard(call.owner)
    connection.cancel_on_disconnect = False
    return "ok"


def get_cod(venue: Venue, call: Call) -> Any:
    connection, scope = socket_of(call), _scope(call)
    enabled = call.owner in venue.account_cod if scope == "account" else connection.cancel_on_disconnect
    return {"scope": scope, "enabled": enabled}


def _scope(call: Call) -> str:
    return call.parameters.choice("scope", ("connection", "account"), "connection")


# --- subscriptions ----------------------------------------------------------------------------------------------------
def subscribe_public(venue: Venue, call: Call) -> Any:
    return _subscribe(venue, call, allows_private=False)


def subscribe_private(venue: Venue, call: Call) -> Any:
    return _subscribe(venue, call, allows_private=True)


def _subscribe(venue: Venue, call: Call, allows_private: bool) -> Any:
    """The channels that are on now. A name of no kind is left out of the result without a word."""
    connection = socket_of(call)
    names = list(dict.fromkeys(call.parameters.texts("channels")))
    label = call.parameters.text("label", "", MAX_LABEL)
    if venue.faults.active and venue.faults.strike(("partial_subscribe",), stream=" ".join(names)) is not None:
        names = names[1:]
    channels = []
    for name in names:
        channel = parse_channel(name)
        if channel is None or not _exists(venue, channel) or (channel.private and not allows_private):
            continue
        if channel.raw and not connection.authenticated:
            raise VenueError(13778)
        channels.append(channel)
    # As recorded: the answer first, names in no order of theirs, then a ticker of each channel, then the books.
    for channel in sorted(channels, key=lambda channel: channel.family in ("book", "grouped_book")):
        call.after += venue.hub.subscribe(connection, channel, label)
    return sorted((channel.name for channel in channels), reverse=True)


def _exists(venue: Venue, channel: Channel) -> bool:
    if channel.family in ON_AN_INSTRUMENT and channel.subject:
        return channel.subject in venue.markets
    if channel.family == "deribit_price_index":
        return channel.subject in venue.indices
    if channel.family == "user.portfolio":
        return channel.currency in (*CURRENCIES, "any")
    if channel.private and channel.subject:
        return channel.subject in venue.markets
    return True


def unsubscribe(venue: Venue, call: Call) -> Any:
    connection = socket_of(call)
    return [name for name in call.parameters.texts("channels") if venue.hub.unsubscribe(connection, name)]


def unsubscribe_all_public(venue: Venue, call: Call) -> Any:
    connection = socket_of(call)
    for name, feed in tuple(connection.feeds.items()):
        if not feed.channel.private:
            venue.hub.unsubscribe(connection, name)
    return "ok"


def unsubscribe_all_private(venue: Venue, call: Call) -> Any:
    connection = socket_of(call)
    for name in tuple(connection.feeds):
        venue.hub.unsubscribe(connection, name)
    return "ok"


def socket_of(call: Call) -> RpcConnection:
    """10030 for a call that came over HTTP and needs a socket."""
    if call.connection is None:
        raise VenueError(10030)
    return call.connection
