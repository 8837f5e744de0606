"""The packets behind the golden vectors of fixtures/mqtt, by version and name."""

from dataclasses import dataclass
from pathlib import Path

from quantum.core.mqtt.packets import (
    V5,
    V31,
    V311,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "mqtt"
FILES = {V31: "v31.txt", V311: "v311.txt", V5: "v50.txt"}

PACKETS: dict[int, dict[str, Packet]] = {
    V31: {
        "connect": Connect(V31, "cli1", True, 60),
        "connack": Connack(False, 0),
        "connack_refused": Connack(False, 2),
        "publish_qos1": Publish("a/b", b"x", 1, packet_id=10),
        "puback": Puback(10),
        "subscribe": Subscribe(1, [Subscription("a/#", 1)]),
        "suback": Suback(1, [1]),
        "unsubscribe": Unsubscribe(2, ["a/#"]),
        "unsuback": Unsuback(2),
        "disconnect": Disconnect(),
    },
    V311: {
        "connect": Connect(V311, "cli1", True, 60),
        "connect_full": Connect(V311, "c", True, 10, "me", b"\x00\xff\x00\x01", Will("w", b"bye", 1, True)),
        "connack": Connack(True, 0),
        "connack_refused": Connack(False, 5),
        "publish_qos0": Publish("a/b", b"x"),
        "publish_empty": Publish("a/b", b"", retain=True),
        "publish_qos2_dup": Publish("a/b", b"x", 2, True, True, 65535),
        "puback": Puback(10),
        "pubrec": Pubrec(10),
        "pubrel": Pubrel(10),
        "pubcomp": Pubcomp(10),
        "subscribe": Subscribe(1, [Subscription("a/#", 0), Subscription("+", 2)]),
        "suback": Suback(1, [0, 0x80]),
        "unsubscribe": Unsubscribe(2, ["a/#", "+"]),
        "unsuback": Unsuback(2),
        "pingreq": Pingreq(),
        "pingresp": Pingresp(),
        "disconnect": Disconnect(),
    },
    V5: {
        "connect": Connect(V5, "cli1", True, 60),
        "connect_properties": Connect(
            V5,
            "c",
            False,
            0,
            properties={
                0x11: 10,
                0x21: 20,
                0x27: 1000,
                0x22: 5,
                0x19: 1,
                0x17: 0,
                0x26: [("k", "v")],
                0x15: "SCRAM-SHA-1",
                0x16: b"\x00\x01\x02",
            },
        ),
        "connect_will": Connect(
            V5,
            "c",
            True,
            0,
            password=b"pw",
            will=Will("w", b"bye", 2, True, b"\x03\x00\x04text\x26\x00\x01a\x00\x01b\x01\x01", 5, 60),
        ),
        "connack": Connack(False, 0),
        "connack_properties": Connack(
            True,
            0,
            {
                0x12: "id",
                0x13: 30,
                0x24: 1,
                0x25: 0,
                0x28: 1,
                0x29: 0,
                0x2A: 1,
                0x1A: "r",
                0x1C: "s",
                0x1F: "ok",
                0x21: 10,
            },
        ),
        "connack_refused": Connack(False, 0x87),
        "publish_qos0": Publish("a/b", b"x"),
        "publish_qos1": Publish("a/b", b"x", 1, packet_id=10),
        "publish_properties": Publish(
            "a/b",
            b"xy",
            properties=b"\x01\x01\x08\x00\x01r\x09\x00\x01\x00\x26\x00\x00\x00\x00",
            message_expiry_s=60,
            topic_alias=7,
            subscription_ids=(1, 300),
        ),
        "publish_alias": Publish("", b"x", topic_alias=7),
        "puback": Puback(10),
        "puback_reason": Puback(10, 0x10),
        "puback_properties": Puback(10, 0x87, {0x1F: "no"}),
        "pubrec": Pubrec(10),
        "pubrec_reason": Pubrec(10, 0x91),
        "pubrel": Pubrel(10),
        "pubrel_reason": Pubrel(10, 0x92),
        "pubcomp": Pubcomp(10),
        "pubcomp_reason": Pubcomp(10, 0x92),
        "subscribe": Subscribe(1, [Subscription("a/#", 1, True, True, 2)], {0x0B: [7]}),
        "subscribe_shared": Subscribe(1, [Subscription("$share/g/a", 2)]),
        "suback": Suback(1, [2, 0x8F]),
        "unsubscribe": Unsubscribe(2, ["a/#"]),
        "unsuback": Unsuback(2, [0, 0x11]),
        "pingreq": Pingreq(),
        "pingresp": Pingresp(),
        "disconnect": Disconnect(),
        "disconnect_will": Disconnect(4),
        "disconnect_full": Disconnect(0x8E, {0x1F: "no", 0x11: 5}),
        "auth": Auth(),
        "auth_continue": Auth(0x18, {0x15: "x", 0x16: b"\x01\x02\x03"}),
    },
}


@dataclass(slots=True)
class Row:
    """One golden vector: these bytes are this packet in this version."""

    version: int
    name: str
    data: bytes
    packet: Packet

    def __str__(self) -> str:
        return f"{FILES[self.version][:-4]}-{self.name}"


def read_rows() -> list[Row]:
    """Every line of the fixtures."""
    rows = []
    for version, file in FILES.items():
        for line in (FIXTURES / file).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                name, data = line.split(maxsplit=1)
                rows.append(Row(version, name, bytes.fromhex(data), PACKETS[version][name]))
    return rows


ROWS = read_rows()
