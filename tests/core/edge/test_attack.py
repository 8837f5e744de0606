"""Goal: nothing a client sends raises out of the core or unbalances its accounts. Method: a seeded loop of good packets,
mutated bytes, cuts, reconnects, blocked transports and passing time over all three versions, on one node behind its door."""

import pytest

from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import (
    V5,
    V31,
    V311,
    Auth,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from quantum.core.prng import Prng
from tests.core.node.door import Door

TOPICS = ("a", "a/b", "a/b/c", "$SYS/x", "b")
FILTERS = ("a", "a/+", "#", "a/#", "$share/g/a/#", "$share/g/#", "+/b", "$SYS/#")


def draw_packet(prng: Prng, version: int) -> Packet:
    packet_id = 1 + prng.below(4)
    code = (0, 0, 0, 0x80)[prng.below(4)] if version == V5 else 0
    drawn = prng.below(13)
    if drawn < 5:
        qos = prng.below(3)
        expiry_s = prng.below(3) if version == V5 and prng.chance(1, 3) else -1
        alias = prng.below(3) if version == V5 and prng.chance(1, 4) else 0
        topic = TOPICS[prng.below(len(TOPICS))] if not alias or prng.chance(1, 2) else ""
        payload = bytes(prng.below(40))
        return Publish(
            topic,
            payload,
            qos,
            prng.chance(1, 3),
            bool(qos) and prng.chance(1, 4),
            packet_id if qos else 0,
            message_expiry_s=expiry_s,
            topic_alias=alias,
        )
    if drawn == 5:
        options = [
            Subscription(
                FILTERS[prng.below(len(FILTERS))],
                prng.below(3),
                version == V5 and prng.chance(1, 5),
                version == V5 and prng.chance(1, 3),
                prng.below(3) if version == V5 else 0,
            )
            for _ in range(1 + prng.below(3))
        ]
        return Subscribe(packet_id, options, {11: [1 + prng.below(9)]} if version == V5 and prng.chance(1, 3) else {})
    if drawn == 6:
        return Unsubscribe(packet_id, [FILTERS[prng.below(len(FILTERS))]])
    if drawn == 12:
        rare: tuple[Packet, ...] = (Pingreq(), Disconnect(), Disconnect(4 if version == V5 else 0), Auth(0x19))
        return rare[prng.below(4 if version == V5 else 3)]
    acks: tuple[Packet, ...] = (Puback(packet_id, code), Pubrec(packet_id, code), Pubcomp(packet_id), Pubrel(packet_id))
    return acks[prng.below(4)]


def draw_connect(prng: Prng, version: int) -> Connect:
    clean = prng.chance(1, 2)
    properties: dict[int, object] = {}
    if version == V5:
        if prng.chance(1, 2):
            properties[17] = prng.below(4)
        if prng.chance(1, 2):
            properties[33] = 1 + prng.below(3)
        if prng.chance(1, 4):
            properties[39] = 20 + prng.below(60)
        if prng.chance(1, 4):
            properties[34] = prng.below(3)
        if prng.chance(1, 4):
            properties[23] = 0
    will = Will("a/b", b"will", prng.below(3), prng.chance(1, 2), delay_s=prng.below(3) if version == V5 else 0)
    client_id = "" if clean and version != V31 and prng.chance(1, 9) else f"c{prng.below(4)}"
    keep_alive_s = prng.below(3)
    return Connect(
        version,
        client_id,
        clean,
        keep_alive_s,
        will=will if prng.chance(1, 2) else None,
        properties=properties,  # type: ignore[arg-type]
    )


def mutate(prng: Prng, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(1 + prng.below(2)):
        at = prng.below(len(changed))
        if prng.chance(1, 2):
            changed[at] ^= 1 << prng.below(8)
        else:
            changed[at : at + prng.below(3)] = prng.bytes(prng.below(4))
        if not changed:
            return b"\x00"
    return bytes(changed)


def attack(seed: int, steps: int) -> Door:
    prng = Prng(seed)
    door = Door()
    versions: dict[int, int] = {}
    for _ in range(steps):
        live = [conn_id for conn_id in versions if conn_id in door.node.edge.connections]
        drawn = prng.below(24)
        if not live or drawn == 0:
            conn_id = door.open()
            version = versions[conn_id] = (V31, V311, V5)[prng.below(3)]
            data = encode_packet(version, draw_connect(prng, version))
            if prng.chance(1, 10):
                data = mutate(prng, data)
            if prng.chance(1, 4):
                data += encode_packet(version, draw_packet(prng, version))
            door.send(conn_id, data)
            continue
        conn_id = live[prng.below(len(live))]
        version = versions[conn_id]
        if drawn == 1:
            door.cut(conn_id)
        elif drawn == 2:
            door.pass_time(prng.below(4000))
        elif drawn == 3:
            door.inputs.blocked.append(conn_id)
            door.run()
        elif drawn == 4:
            door.inputs.unblocked.append(conn_id)
            door.run()
        else:
            data = b"".join(encode_packet(version, draw_packet(prng, version)) for _ in range(1 + prng.below(4)))
            if drawn == 5:
                data = mutate(prng, data)
            if drawn == 6:
                at = prng.below(len(data) + 1)
                door.send(conn_id, data[:at])
                data = data[at:]
            door.send(conn_id, data)
        edge = door.node.edge
        assert edge.fanout.ledger.is_balanced(), seed
        assert door.node.partition.is_balanced(), seed
        assert "" == door.failure
    return door


@pytest.mark.parametrize("seed", range(60))
def test_nothing_a_client_does_unbalances_the_node(seed: int) -> None:
    door = attack(seed, 250)
    for conn_id in list(door.node.edge.connections):
        door.cut(conn_id)
    assert 0 == door.node.edge.fanout.ledger.open
    assert {} == door.node.edge.fanout.sessions
    digest = door.node.partition.counts()["sessions"]
    again = Door(door.disk)
    assert digest >= again.node.partition.counts()["sessions"]
