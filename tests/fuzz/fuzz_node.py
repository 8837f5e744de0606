"""Nothing that clients send harms a node or another client. Input: operations of up to three connections, each a byte of
operation and, where it sends, a byte of length and the bytes."""

from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.scram import SCRAM_SHA_256, Scram
from quantum.core.edge.users import UserFile, Users, derive_keys
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import V5, V311, Auth, Connect, Publish, Subscribe, Subscription, Will
from quantum.core.mqtt.properties import AUTHENTICATION_DATA, AUTHENTICATION_METHOD, Properties
from tests.core.node.door import Door
from tests.fuzz.golden import VERSIONS, vectors

BYTES_MAX = 1024
OPERATIONS_MAX = 60  # of one input, so that none is slow
CONNECTS = [
    encode_packet(version, Connect(version, "c", False, 0, will=Will("w", b"gone", 1, False))) for version in VERSIONS
]


KEYS = derive_keys(b"pencil", b"salt-of-sixteen-", 4096)
USERS = UserFile(4096, bytes(32), {"user": KEYS})


def make_door() -> Door:
    """A node that authenticates who asks for it."""
    users = Users(USERS)
    return Door(edge=EdgeConfig(mechanisms={SCRAM_SHA_256: Scram(users)}, users=users, allow_anonymous=True))


def sent(conn: int, data: bytes) -> bytes:
    """The operation that sends."""
    return bytes((conn, len(data))) + data


SEEDS = [
    bytes((0x10 | number << 2,))
    + b"".join(sent(0, data) for name, data in vectors(version).items() if name != "connect")
    for number, version in enumerate(VERSIONS)
]
SEEDS += [
    b"\x10"
    + bytes((0x10 | number << 2 | 1,))
    + sent(0, b"\x82\x06\x00\x01\x00\x01a\x01")
    + sent(1, vectors(version)["subscribe"])
    + sent(1, b"\x34\x06\x00\x01a\x00\x09" + bytes(1))
    + sent(0, b"\x40\x02\x00\x01")
    + b"\x20\x33\x21"
    for number, version in enumerate(VERSIONS)
]
SEEDS += [b"\x18" + sent(0, data) for data in vectors(V5).values() if len(data) < 200]
_METHOD: Properties = {AUTHENTICATION_METHOD: SCRAM_SHA_256, AUTHENTICATION_DATA: b"n,,n=user,r=nonce"}
_AUTHENTICATING = encode_packet(V5, Connect(V5, "s", True, 0, properties=_METHOD))
_CONTINUED: Properties = {AUTHENTICATION_METHOD: SCRAM_SHA_256, AUTHENTICATION_DATA: b"c=biws,r=nonce,p=AAAA"}
SEEDS += [sent(0, _AUTHENTICATING) + sent(0, encode_packet(V5, Auth(code, _CONTINUED))) for code in (0x18, 0x19)]
SEEDS += [sent(0, encode_packet(V311, Connect(V311, "u", True, 0, "user", b"pencil"))) + sent(0, b"\xc0\x00")]


def check(data: bytes) -> None:
    door = make_door()
    bystander, _ = door.connected("bystander", version=V311)
    door.send_packet(bystander, Subscribe(1, [Subscription("bystander", 1)]))
    play(door, data)
    assert "" == door.failure
    assert door.node.edge.fanout.ledger.is_balanced()
    assert door.node.partition.is_balanced()
    door.take(bystander)
    door.send_packet(bystander, Publish("bystander", b"still here", 1, packet_id=2))
    got = [packet.payload for packet in door.take(bystander) if isinstance(packet, Publish)]
    assert [b"still here"] == got, "the bystander is not served"


def play(door: Door, data: bytes) -> None:
    """Operation, in bits: 4 of what, 2 of version, 2 of connection."""
    conns = [0, 0, 0]
    at = 0
    for _ in range(OPERATIONS_MAX):
        if at >= len(data):
            return
        what, number, conn = data[at] >> 4, (data[at] >> 2 & 3) % 3, (data[at] & 3) % 3
        at += 1
        if what == 1:
            conns[conn] = door.open()
            door.send(conns[conn], CONNECTS[number])
        elif what == 2 and conns[conn] in door.node.edge.connections:
            door.cut(conns[conn])
        elif what == 3:
            door.pass_time(700 << number)
        elif what in (4, 5) and conns[conn] in door.node.edge.connections:
            (door.inputs.blocked if what == 4 else door.inputs.unblocked).append(conns[conn])
            door.run()
        elif what == 0 and at < len(data):
            size = data[at]
            piece = data[at + 1 : at + 1 + size]
            at += 1 + size
            if not conns[conn]:
                conns[conn] = door.open()
            if conns[conn] in door.node.edge.connections:
                door.send(conns[conn], piece)
