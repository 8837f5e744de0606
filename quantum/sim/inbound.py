"""What a client holds of the exchanges that the server began, and the rules that the server's packets break or keep.

QoS 2 state outlives a Network Connection when the session does; what must be unique or bounded counts per connection.
Laws M2, M3 and M14. Source: MQTT 5.0 §3.3.4, §4.3, §4.4.
"""

from typing import Final, final

from quantum.core.mqtt.packets import QOS_0, QOS_1, QOS_2, Publish, Pubrel
from quantum.sim.promises import Promises
from quantum.sim.session_page import Session

# How far an exchange of QoS 2 has come.
RECEIVED: Final = 1
RECORDED: Final = 2  # PUBREC left at least once


@final
class Inbound:
    """Of one client."""

    __slots__ = (
        "_aliases",
        "_doubted",
        "_is_resumed",
        "_last_resent",
        "_limit",
        "_open",
        "_promises",
        "_qos2",
        "_seen",
        "_session",
        "alias_max",
    )

    def __init__(self, session: Session, limit: int, alias_max: int, promises: Promises) -> None:
        self._session = session
        self._limit = limit  # its Receive Maximum
        self._promises = promises
        self._open: dict[int, bytes] = {}  # on this connection: QoS 1 and 2 not acknowledged for good → payload
        self._qos2: dict[int, tuple[int, bytes]] = {}  # PUBREL to come: how far, payload
        self._aliases: dict[int, str] = {}
        self._seen: dict[bytes, tuple[int, int]] = {}  # payload → Packet Identifier, how many came before it
        self._last_resent = -1  # on this connection
        self._is_resumed = False
        self._doubted: dict[int, None] = {}
        self.alias_max = alias_max

    def __len__(self) -> int:
        return len(self._qos2) - sum(packet_id in self._qos2 for packet_id in self._doubted)

    def doubt(self) -> None:
        """The session may be another one: nobody need finish what is open, and it is known all the same."""
        self._doubted = dict.fromkeys(self._qos2)

    def on_connected(self, session_present: bool) -> None:
        """CONNACK."""
        self._is_resumed = session_present
        self._last_resent = -1

    def on_connection_ends(self) -> None:
        """What belongs to the connection is over."""
        book = self._promises.book
        for state, _ in self._qos2.values():
            book.sometimes("mqtt.qos2.cut-before-our-pubrec" if state == RECEIVED else "mqtt.qos2.cut-before-pubrel")
        self._open = {}
        self._aliases = {}

    def forget(self) -> None:
        """The session is gone, and its exchanges with it."""
        self._open = {}
        self._qos2 = {}
        self._seen = {}
        self._doubted = {}

    def on_publish(self, packet: Publish) -> bool:
        """A PUBLISH arrived. Whether it is for the application: a QoS 2 message is, once."""
        self._resolve_alias(packet)
        if packet.dup and not self._is_resumed:
            # 3.3.1.1: it cannot be sent again in a session that began with this connection.
            self._violate("M2", "has a session that began with this connection", f"it got {_name(packet)} with DUP")
        if packet.qos == QOS_0:
            return True
        packet_id = packet.packet_id
        self._check_resent(packet)
        other = self._open.get(packet_id)
        if other is not None and other != packet.payload:
            self._violate(
                "M14",
                f"has not acknowledged the message with Packet Identifier {packet_id}",
                f"it got {_name(packet)} with the same Packet Identifier",
            )
        elif other is not None:
            self._violate(  # [MQTT-4.4.0-1]
                "M2",
                f"got {_name(packet)} with Packet Identifier {packet_id} on this connection",
                "it got it again on the same connection",
            )
        self._open[packet_id] = packet.payload
        if len(self._open) > self._limit:  # [MQTT-3.3.4-9]
            self._violate(
                "M14",
                f"has a Receive Maximum of {self._limit}",
                f"it holds {len(self._open)} messages that it has not acknowledged",
            )
        if packet.qos == QOS_1:
            return True
        self._doubted.pop(packet_id, None)
        known = self._qos2.get(packet_id)
        if known is not None and (known[1] == packet.payload or self._session.is_loose):
            return False
        if known is not None:
            self._violate(  # [MQTT-4.3.3-12]
                "M3",
                f"got no PUBREL {packet_id} for {known[1][:24]!r}",
                f"it got {_name(packet)} with the same Packet Identifier",
            )
        self._qos2[packet_id] = (RECEIVED, packet.payload)
        return True

    def on_pubrel(self, packet: Pubrel) -> None:
        """A PUBREL arrived."""
        known = self._qos2.get(packet.packet_id)
        if known is None and not self._is_resumed:
            self._violate(
                "M14",
                f"has no exchange {packet.packet_id} that waits for it, nor had one before this connection",
                f"it got PUBREL {packet.packet_id}",
            )
        elif known is not None and known[0] == RECEIVED:
            self._violate(  # [MQTT-4.3.3-5]
                "M3",
                f"has not sent PUBREC {packet.packet_id} yet",
                f"it got PUBREL {packet.packet_id}",
            )

    def on_acked(self, packet: Publish | Pubrel) -> None:
        """The answer leaves."""
        packet_id = packet.packet_id
        if isinstance(packet, Pubrel):
            self._qos2.pop(packet_id, None)
            self._open.pop(packet_id, None)
        elif packet.qos == QOS_2:
            self._qos2[packet_id] = (RECORDED, packet.payload)
        else:
            self._open.pop(packet_id, None)

    def _check_resent(self, packet: Publish) -> None:
        """What is sent again has the Packet Identifier of old, and comes in the order of old. [MQTT-4.4.0-1]"""
        if packet.retain or self._session.share_group:
            return
        message = self._promises.published.get(packet.payload)
        if message is None or message.retain or message.copies_max > 1:
            return  # Several messages of the server may have this payload.
        known = self._seen.get(packet.payload)
        if known is None:
            self._seen[packet.payload] = (packet.packet_id, len(self._seen))
            return
        if not packet.dup:
            return  # M2 and ONCE count those.
        if packet.packet_id != known[0]:
            self._violate(
                "M2",
                f"got {_name(packet)} with Packet Identifier {known[0]}",
                f"it got it again with Packet Identifier {packet.packet_id}",
            )
        elif known[1] < self._last_resent:
            self._violate(
                "ORDER",
                f"got again on this connection what it had got behind {_name(packet)}",
                "it got that again only then",
            )
        self._last_resent = known[1]

    def _resolve_alias(self, packet: Publish) -> None:
        """3.3.2.3.4: an alias is of this connection, and within what the client allowed."""
        alias = packet.topic_alias
        if not alias:
            return
        if alias > self.alias_max:
            self._violate("M14", f"has a Topic Alias Maximum of {self.alias_max}", f"it got Topic Alias {alias}")
        elif packet.topic_name:
            self._aliases[alias] = packet.topic_name
        elif alias in self._aliases:
            packet.topic_name = self._aliases[alias]
        else:
            self._violate("M14", "was told of no topic by this connection", f"it got Topic Alias {alias} without")

    def _violate(self, law: str, first: str, second: str) -> None:
        self._promises.violate(law, f"{self._session.client_id} {first}", second)


def _name(packet: Publish) -> str:
    return repr(packet.payload[:24])
