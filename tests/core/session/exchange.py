"""One exchange of QoS 1 or 2, and what is said on the connections of its client, through the door of a node.

What is done to it is in events.py. What comes of it is told as text, such as
`DISCONNECT 0x8E, closed / CONNACK present, PUBREC 7 > m`: the packets of one connection behind each other, those of the
next one behind a slash, and behind `>` what another subscriber was given.
"""

from dataclasses import dataclass
from typing import Final

from quantum.core.edge.config import EdgeConfig
from quantum.core.mqtt.packets import (
    V5,
    V311,
    Connack,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
)
from tests.core.node.door import Door

VERSIONS: Final = (V311, V5)
KINDS: Final = ("persistent", "ephemeral")

TOPIC: Final = "t/of/some/length/for/the/sake/of/size"
CLIENT_ID: Final = "c"
EXPIRY_S: Final = 100
RECEIVE_MAXIMUM: Final = 3  # of the server
SEND_WINDOW_MAX: Final = 1  # towards the client: in 5.0 it asks for it, in 3.1.1 it is the server's own
PACKET_BYTES_MAX: Final = 1000  # of the server
SMALL: Final = 60  # a client's Maximum Packet Size: enough for "m", not for `BIG`
TINY: Final = 30  # not even enough for "m"
BIG: Final = b"b" * 100
RECEIVED_ID: Final = 7  # Packet Identifier of the client's own publication
OTHER_ID: Final = 9  # one that is not in use

NOTHING: Final = "-"

SESSION_EXPIRY_INTERVAL: Final = 17
RECEIVE_MAXIMUM_PROPERTY: Final = 33
MAXIMUM_PACKET_SIZE: Final = 39


@dataclass(frozen=True)
class Side:
    """Which exchange is looked at."""

    direction: str  # "out" of the server to the client, "in" from the client
    qos: int
    kind: str  # of the session: "persistent" or "ephemeral"
    version: int

    @property
    def is_persistent(self) -> bool:
        return self.kind == "persistent"


class Exchange:
    """A client, one who publishes to it, one who watches what it publishes, and a node that may be started again."""

    def __init__(self, side: Side, small: int = 0) -> None:
        self.side = side
        self.door = self._node(None)
        self.conn_id = 0
        self._conn_ids: list[int] = []
        self._is_cut = False
        self._publisher = 0
        self._watcher = 0
        self._publisher_id = 0
        self._other_clients()
        self.join(small=small)

    # -- what happens ----------------------------------------------------------------------------------------------

    def join(self, *, is_clean: bool | None = None, small: int = 0) -> None:
        """The client connects; a Clean Start unless it has a session to come back to, if nothing else is said."""
        side = self.side
        if is_clean is None:
            is_clean = not side.is_persistent and not self._conn_ids
        properties: dict[int, int] = {}
        if side.version == V5:
            properties[RECEIVE_MAXIMUM_PROPERTY] = SEND_WINDOW_MAX
            if side.is_persistent:
                properties[SESSION_EXPIRY_INTERVAL] = EXPIRY_S
            if small:
                properties[MAXIMUM_PACKET_SIZE] = small
        self._is_cut = False
        self.conn_id = self.door.connect(CLIENT_ID, side.version, is_clean, properties=properties)
        first = not self._conn_ids
        self._conn_ids.append(self.conn_id)
        if first:
            self.door.send_packet(self.conn_id, Subscribe(1, [Subscription(TOPIC, side.qos)]))
            assert [Connack, Suback] == [type(packet) for packet in self.door.take(self.conn_id)]

    def client(self, *packets: Packet) -> None:
        """The client sends."""
        self.door.send_packet(self.conn_id, *packets)

    def publish(self, *payloads: bytes) -> None:
        """Somebody publishes what the client is subscribed to."""
        for payload in payloads:
            self._publisher_id += 1
            packet = Publish(TOPIC, payload, self.side.qos, packet_id=self._publisher_id)
            self.door.send_packet(self._publisher, packet)
            assert [Puback if self.side.qos == 1 else Pubrec] == [type(p) for p in self.door.take(self._publisher)]
            if self.side.qos == 2:
                self.door.send_packet(self._publisher, Pubrel(self._publisher_id))
                assert [Pubcomp(self._publisher_id)] == self.door.take(self._publisher)

    def own(self, packet_id: int = RECEIVED_ID, payload: bytes = b"m", *, dup: bool = False) -> Publish:
        """A PUBLISH of the client itself."""
        return Publish("own", payload, self.side.qos, dup=dup, packet_id=packet_id)

    def cut(self) -> None:
        """The client's transport breaks."""
        self.door.cut(self.conn_id)
        self._is_cut = True

    def restart(self) -> None:
        """The power fails, and the node starts again on what its disk holds."""
        self.door = self._node(self.door)
        self._conn_ids = [0]
        self._is_cut = True
        self._other_clients()

    def hold_disk(self) -> None:
        """Nothing gets durable from here on."""
        self.door.hold_disk = True

    @property
    def is_connected(self) -> bool:
        """The client has a connection, as far as it knows."""
        return self.conn_id != 0 and self.conn_id not in self.door.closed and not self._is_cut

    # -- what came of it -------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """What was said until now belongs to the state."""
        for conn_id in (*self._conn_ids, self._watcher, self._publisher):
            self.door.take(conn_id)
        self.door.closed.clear()

    def told(self) -> str:
        """What was said since, as text."""
        if self.door.hold_disk:
            self.door.release_disk()
        told = [self._told_to(conn_id) for conn_id in self._conn_ids]
        text = " / ".join(part for part in told if part)
        seen = ", ".join(_payloads(self.door.take(self._watcher)))
        return f"{text} > {seen}".strip() if seen else text or NOTHING

    def check(self) -> None:
        """Whatever happened: the ledgers are balanced, and the next message of the client goes through."""
        if not self.is_connected:
            self.join()
        self.client(Publish("own", b"after", 1, packet_id=100))
        assert Puback(100) in self.door.take(self.conn_id)
        assert ["after"] == _payloads(self.door.take(self._watcher))
        assert self.door.node.edge.fanout.ledger.is_balanced()
        assert self.door.node.partition.is_balanced()

    # -- private ---------------------------------------------------------------------------------------------------

    def _node(self, before: Door | None) -> Door:
        edge = EdgeConfig(
            receive_maximum=RECEIVE_MAXIMUM,
            send_window_max=SEND_WINDOW_MAX if self.side.version < V5 else 65_535,
            packet_bytes_max=PACKET_BYTES_MAX,
            session_expiry_s_max=EXPIRY_S,
        )
        return Door(None if before is None else before.disk, edge)

    def _other_clients(self) -> None:
        self._publisher = self.door.connect("publisher")
        self._watcher = self.door.connect("watcher")
        self.door.send_packet(self._watcher, Subscribe(1, [Subscription("own", 0)]))
        self.door.take(self._publisher)
        self.door.take(self._watcher)
        self._publisher_id = 0

    def _told_to(self, conn_id: int) -> str:
        words = [self._word(packet) for packet in self.door.take(conn_id)]
        if conn_id in self.door.closed:
            words.append("closed")
        return ", ".join(words)

    def _word(self, packet: Packet) -> str:
        name = type(packet).__name__.upper()
        if isinstance(packet, Connack):
            assert 0 == packet.reason_code
            return name + (" present" if packet.session_present else "")
        if isinstance(packet, Publish):
            assert self.side.qos == packet.qos
            payload = "big" if packet.payload == BIG else packet.payload.decode()
            return f"{name} {packet.packet_id} {payload}" + (" dup" if packet.dup else "")
        if isinstance(packet, Disconnect):
            return f"{name} 0x{packet.reason_code:02X}"
        assert isinstance(packet, Puback | Pubrec | Pubrel | Pubcomp), packet
        return f"{name} {packet.packet_id}" + (f" 0x{packet.reason_code:02X}" if packet.reason_code else "")


def _payloads(packets: list[Packet]) -> list[str]:
    return [packet.payload.decode() for packet in packets if isinstance(packet, Publish)]
