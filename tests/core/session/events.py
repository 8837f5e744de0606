"""The states of an exchange and the events that may meet it: how each of them is brought about.

The same names stand in the tables; a name is the description, and a `return` begins with the end of the old connection
where there is one.
"""

from collections.abc import Callable
from typing import Final

from quantum.core.mqtt.packets import Disconnect, Puback, Pubcomp, Pubrec, Pubrel
from tests.core.session.exchange import (
    BIG,
    EXPIRY_S,
    OTHER_ID,
    PACKET_BYTES_MAX,
    RECEIVE_MAXIMUM,
    RECEIVED_ID,
    SMALL,
    TINY,
    Exchange,
    Side,
)

Step = Callable[[Exchange], None]
WITH_SMALL_PACKETS: Final = "message larger than Maximum Packet Size"


def _nothing(exchange: Exchange) -> None:
    assert exchange.conn_id


def _leave(exchange: Exchange) -> None:
    """However the old connection ended: if it is there, it breaks."""
    if exchange.is_connected:
        exchange.cut()


# -- out: of the server to the client; the Packet Identifier is 1, behind a full window 2 --------------------------------


def _sent(exchange: Exchange) -> None:
    exchange.publish(b"m")


def _waiting(exchange: Exchange) -> None:
    exchange.publish(b"a", b"m")


def _released(exchange: Exchange) -> None:
    exchange.publish(b"m")
    exchange.client(Pubrec(1))


def _offline(exchange: Exchange) -> None:
    exchange.cut()
    exchange.publish(b"m")


OUT_STATES: Final[dict[str, Step]] = {
    "idle": _nothing,
    "waiting": _waiting,
    "sent": _sent,
    "released": _released,
    "offline": _offline,
}

# -- in: from the client; the Packet Identifier is 7 ---------------------------------------------------------------------


def _pending(exchange: Exchange) -> None:
    exchange.hold_disk()
    exchange.client(exchange.own())


def _received(exchange: Exchange) -> None:
    exchange.client(exchange.own())


def _releasing(exchange: Exchange) -> None:
    exchange.client(exchange.own())
    exchange.hold_disk()
    exchange.client(Pubrel(RECEIVED_ID))


def _completed(exchange: Exchange) -> None:
    exchange.client(exchange.own())
    exchange.client(Pubrel(RECEIVED_ID))


IN_STATES: Final[dict[str, Step]] = {
    "idle": _nothing,
    "pending": _pending,
    "received": _received,
    "releasing": _releasing,
    "completed": _completed,
}

# -- events that both directions know ------------------------------------------------------------------------------------


def _return(exchange: Exchange) -> None:
    _leave(exchange)
    exchange.join(is_clean=False)


def _clean_return(exchange: Exchange) -> None:
    _leave(exchange)
    exchange.join(is_clean=True)


def _return_behind_disconnect(exchange: Exchange) -> None:
    if exchange.is_connected:
        exchange.client(Disconnect())
        exchange.door.closed.clear()
    exchange.join(is_clean=False)


def _takeover(exchange: Exchange) -> None:
    exchange.join(is_clean=False)


def _clean_takeover(exchange: Exchange) -> None:
    exchange.join(is_clean=True)


def _return_behind_expiry(exchange: Exchange) -> None:
    _leave(exchange)
    exchange.door.pass_time(EXPIRY_S * 1000)
    exchange.join(is_clean=False)


def _return_before_expiry(exchange: Exchange) -> None:
    _leave(exchange)
    exchange.door.pass_time(EXPIRY_S * 1000 - 1)
    exchange.join(is_clean=False)


def _restart(exchange: Exchange) -> None:
    exchange.restart()
    exchange.join(is_clean=False)


def _clean_restart(exchange: Exchange) -> None:
    exchange.restart()
    exchange.join(is_clean=True)


def _restart_and_expiry(exchange: Exchange) -> None:
    exchange.restart()
    exchange.door.pass_time(EXPIRY_S * 1000)
    exchange.join(is_clean=False)


LIFECYCLE: Final[dict[str, Step]] = {
    "return": _return,
    "clean return": _clean_return,
    "DISCONNECT, return": _return_behind_disconnect,
    "takeover": _takeover,
    "clean takeover": _clean_takeover,
    "return 1 ms before expiry": _return_before_expiry,
    "return at expiry": _return_behind_expiry,
    "restart, return": _restart,
    "restart, clean return": _clean_restart,
    "restart, return at expiry": _restart_and_expiry,
}


def _return_with_tiny_packets(exchange: Exchange) -> None:
    _leave(exchange)
    exchange.join(is_clean=False, small=TINY)


OUT_EVENTS: Final[dict[str, Step]] = {
    "PUBACK": lambda exchange: exchange.client(Puback(1)),
    "PUBACK twice": lambda exchange: exchange.client(Puback(1), Puback(1)),
    "PUBACK of another id": lambda exchange: exchange.client(Puback(OTHER_ID)),
    "PUBACK 0x80": lambda exchange: exchange.client(Puback(1, 0x80)),
    "PUBREC": lambda exchange: exchange.client(Pubrec(1)),
    "PUBREC twice": lambda exchange: exchange.client(Pubrec(1), Pubrec(1)),
    "PUBREC of another id": lambda exchange: exchange.client(Pubrec(OTHER_ID)),
    "PUBREC 0x80": lambda exchange: exchange.client(Pubrec(1, 0x80)),
    "PUBCOMP": lambda exchange: exchange.client(Pubcomp(1)),
    "PUBCOMP twice": lambda exchange: exchange.client(Pubcomp(1), Pubcomp(1)),
    "PUBCOMP of another id": lambda exchange: exchange.client(Pubcomp(OTHER_ID)),
    "message, window 1": lambda exchange: exchange.publish(b"n"),
    WITH_SMALL_PACKETS: lambda exchange: exchange.publish(BIG, b"n"),
    "DISCONNECT": lambda exchange: exchange.client(Disconnect()),
    "connection breaks": Exchange.cut,
    **LIFECYCLE,
    "return with Maximum Packet Size 30": _return_with_tiny_packets,
}


def _too_many(exchange: Exchange) -> None:
    others = [exchange.own(20 + number, b"%d" % number) for number in range(RECEIVE_MAXIMUM + 1)]
    exchange.client(*others)


def _too_large(exchange: Exchange) -> None:
    exchange.client(exchange.own(OTHER_ID, b"x" * PACKET_BYTES_MAX))


def _then_publish(step: Step) -> Step:
    def both(exchange: Exchange) -> None:
        step(exchange)
        exchange.client(exchange.own(dup=True))

    return both


def _then_pubrel(step: Step) -> Step:
    def both(exchange: Exchange) -> None:
        step(exchange)
        exchange.client(Pubrel(RECEIVED_ID))

    return both


IN_EVENTS: Final[dict[str, Step]] = {
    "PUBLISH": lambda exchange: exchange.client(exchange.own()),
    "PUBLISH dup": lambda exchange: exchange.client(exchange.own(dup=True)),
    "PUBLISH dup twice": lambda exchange: exchange.client(exchange.own(dup=True), exchange.own(dup=True)),
    "PUBLISH of another id": lambda exchange: exchange.client(exchange.own(OTHER_ID)),
    "PUBREL": lambda exchange: exchange.client(Pubrel(RECEIVED_ID)),
    "PUBREL twice": lambda exchange: exchange.client(Pubrel(RECEIVED_ID), Pubrel(RECEIVED_ID)),
    "PUBREL of another id": lambda exchange: exchange.client(Pubrel(OTHER_ID)),
    "4 PUBLISH, Receive Maximum 3": _too_many,
    "PUBLISH larger than Maximum Packet Size": _too_large,
    "DISCONNECT": lambda exchange: exchange.client(Disconnect()),
    "connection breaks": Exchange.cut,
    **{f"{name}, PUBLISH dup": _then_publish(step) for name, step in LIFECYCLE.items()},
    **{f"{name}, PUBREL": _then_pubrel(step) for name, step in LIFECYCLE.items()},
}


def events_of(side: Side) -> dict[str, Step]:
    """The events of one direction, in the order of the table."""
    return OUT_EVENTS if side.direction == "out" else IN_EVENTS


def states_of(side: Side) -> dict[str, Step]:
    """The states of one direction and QoS, in the order in which an exchange has them."""
    if side.direction == "out":
        return {name: step for name, step in OUT_STATES.items() if side.qos == 2 or name != "released"}
    return {name: step for name, step in IN_STATES.items() if side.qos == 2 or name not in ("releasing", "completed")}


def outcome(side: Side, state: str, event: str) -> str:
    """Bring the exchange into the state, let the event happen, and say what came of it."""
    exchange = Exchange(side, SMALL if event == WITH_SMALL_PACKETS and side.version == 5 else 0)
    states_of(side)[state](exchange)
    exchange.forget()
    events_of(side)[event](exchange)
    told = exchange.told()
    exchange.check()
    return told
