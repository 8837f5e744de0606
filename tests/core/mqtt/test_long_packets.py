"""Goal: a SUBSCRIBE or UNSUBSCRIBE with thousands of filters is read some hundred at a time, and gives what it would give if
it were read in one go. Method: streams with long packets, cut anywhere, beside a reader that takes one packet after the
other; and the number of calls it takes."""

import pytest

from quantum.core.mqtt.connection import FILTER_BYTES_AT_ONCE, FILTERS_AT_ONCE, PublishRun, ServerConnection
from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.errors import MqttError
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, frame_span
from quantum.core.mqtt.packets import (
    V5,
    V31,
    V311,
    Connect,
    Packet,
    Pingreq,
    Publish,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from quantum.core.mqtt.wire import encode_varint
from quantum.core.prng import Prng

VERSIONS = (V31, V311, V5)
LONG = 3 * FILTERS_AT_ONCE + 7  # filters, of at least 16 bytes each


def names(count: int) -> list[str]:
    return [f"many/{number:05}/+/#" for number in range(count)]


def long_subscribe(count: int = LONG) -> Subscribe:
    return Subscribe(1, [Subscription(name, number % 3) for number, name in enumerate(names(count))])


def connected(version: int) -> ServerConnection:
    server = ServerConnection(PACKET_BYTES_LIMIT, 3)
    server.receive(encode_packet(version, Connect(version, "c", True, 0)))
    return server


def received(server: ServerConnection, data: bytes) -> list[Packet]:
    """What comes of one call."""
    packets: list[Packet] = []
    for packet in server.receive(data):
        assert not isinstance(packet, int)
        if isinstance(packet, PublishRun):
            packets += [Publish(packet.topic_name, payload) for payload in packet.payloads()]
        else:
            packets.append(packet)
    return packets


def drained(server: ServerConnection, data: bytes) -> list[list[Packet]]:
    """What comes of the bytes, call by call."""
    calls = [received(server, data)]
    while server.is_stopped:
        calls.append(received(server, b""))
    return calls


def flat(calls: list[list[Packet]]) -> list[Packet]:
    return [packet for packets in calls for packet in packets]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("packet", [long_subscribe(), Unsubscribe(1, names(LONG))], ids=["subscribe", "unsubscribe"])
def test_a_long_packet_comes_whole_after_as_many_calls_as_it_has_pieces(version: int, packet: Packet) -> None:
    calls = drained(connected(version), encode_packet(version, packet))
    assert [[], [], [], [], [packet]] == calls


def test_a_filter_as_long_as_can_be_is_a_piece() -> None:
    packet = Unsubscribe(1, [str(number) * 40_000 for number in range(5)])
    assert [[], [], [], [], [], [packet]] == drained(connected(V5), encode_packet(V5, packet))


def test_what_stands_behind_a_long_packet_comes_behind_it() -> None:
    server = connected(V5)
    behind: list[Packet] = [Publish("t", b"1"), Pingreq(), Unsubscribe(2, ["t"]), Publish("t", b"2")]
    packets = [Pingreq(), long_subscribe(), *behind]
    calls = drained(server, b"".join(encode_packet(V5, packet) for packet in packets))
    assert [packets[:1], [], [], [], [packets[1]], behind] == calls
    assert not server.is_stopped


def test_many_short_packets_are_not_read_in_one_go_either() -> None:
    size = len(encode_packet(V5, Unsubscribe(1, names(20))))
    most = 1 + FILTER_BYTES_AT_ONCE // size
    short = [Unsubscribe(1 + number, names(20)) for number in range(5 * most)]
    server = connected(V5)
    calls = drained(server, b"".join(encode_packet(V5, packet) for packet in short))
    assert [short[at : at + most] for at in range(0, 5 * most, most)] == calls


def test_bytes_that_come_while_a_long_packet_is_read_wait() -> None:
    server = connected(V5)
    packet = long_subscribe()
    behind = encode_packet(V5, Publish("t", b"x" * 10))
    assert [] == server.receive(encode_packet(V5, packet))
    calls = [received(server, bytes([byte])) for byte in behind]
    assert [[], [], [], [packet]] == calls[:4]
    assert [Publish("t", b"x" * 10)] == flat(calls[4:])


BAD = [
    ("empty", b"\x00\x00", V311),
    ("cut off", b"\x00\x09a", V311),
    ("not UTF-8", b"\x00\x02\xff\xff", V311),
    ("null", b"\x00\x02a\x00", V311),
    ("hash not last", b"\x00\x03#/a", V311),
    ("plus in a level", b"\x00\x04a/b+", V311),
    ("two pluses in a level", b"\x00\x04a/++", V311),
    ("no ShareName", b"\x00\x09$share//a", V5),
    ("wildcard in a ShareName", b"\x00\x0a$share/+/a", V5),
]
BAD_OPTIONS = [
    ("no options", b"\x00\x01a", V5),
    ("QoS 3 in 3.1.1", b"\x00\x01a\x03", V311),
    ("QoS 3", b"\x00\x01a\x03", V5),
    ("reserved options", b"\x00\x01a\x40", V5),
    ("Retain Handling 3", b"\x00\x01a\x30", V5),
    ("No Local on a shared one", b"\x00\x0a$share/g/a\x04", V5),
]


def framed(first: int, body: bytes) -> bytes:
    return bytes((first,)) + encode_varint(len(body)) + body


@pytest.mark.parametrize(
    ("first", "tail", "version"),
    [pytest.param(0xA2, tail, version, id=f"unsubscribe: {name}") for name, tail, version in BAD]
    + [
        pytest.param(0x82, tail if name == "cut off" else tail + b"\x00", version, id=f"subscribe: {name}")
        for name, tail, version in BAD
    ]
    + [pytest.param(0x82, tail, version, id=f"subscribe: {name}") for name, tail, version in BAD_OPTIONS],
)
def test_a_bad_filter_at_the_end_fails_as_in_one_go_and_gives_nothing(first: int, tail: bytes, version: int) -> None:
    good = Unsubscribe(1, names(2000)) if first == 0xA2 else long_subscribe(2000)
    body = encode_packet(version, good)[4:] + tail
    with pytest.raises(MqttError) as expected:
        decode_packet(version, first, body)
    server = connected(version)
    behind = encode_packet(version, Pingreq())
    calls = drained(server, behind + framed(first, body) + behind)
    assert [Pingreq()] == flat(calls)
    assert FILTERS_AT_ONCE * (len(calls) - 1) >= 2000
    assert server.failure is not None
    assert (str(expected.value), expected.value.reason_code) == (str(server.failure), server.failure.reason_code)
    assert not server.is_stopped
    assert [] == server.receive(behind)


@pytest.mark.parametrize("first", [0x82, 0xA2])
def test_a_long_packet_whose_head_is_bad_fails_at_once(first: int) -> None:
    body = b"\x00\x00" + encode_packet(V311, Unsubscribe(1, names(1000)))[6:]
    server = connected(V5)
    assert [[]] == drained(server, framed(first, body))
    assert server.failure is not None
    assert "Packet Identifier 0" in str(server.failure)
    server = connected(V5)
    assert [[]] == drained(server, framed(first ^ 1, body))
    assert server.failure is not None
    assert f"packet type {first >> 4} with flags 0x3" in str(server.failure)


def random_packet(prng: Prng) -> Packet:
    drawn = prng.below(6)
    if drawn == 0:
        return Pingreq()
    if drawn == 1:
        return Publish("t", bytes(prng.below(100)))
    count = 1 + prng.below((3, 40, 400, 3000)[prng.below(4)])
    levels = ("a", "bb", "+", "$share", "ö" * 300 if prng.chance(1, 3) else "c", "")
    filters = ["x/" + "/".join(levels[prng.below(6)] for _ in range(1 + prng.below(3))) for _ in range(count)]
    if drawn < 4:
        return Unsubscribe(1 + prng.below(9), filters)
    return Subscribe(1 + prng.below(9), [Subscription(each, prng.below(3)) for each in filters])


@pytest.mark.parametrize("seed", range(20))
def test_streams_give_the_same_as_packet_by_packet_however_they_are_cut(seed: int) -> None:
    prng = Prng(seed)
    version = VERSIONS[seed % 3]
    stream = b"".join(encode_packet(version, random_packet(prng)) for _ in range(12))
    if prng.chance(1, 2):  # One byte is broken somewhere.
        at = prng.below(len(stream))
        stream = stream[:at] + bytes([prng.below(256)]) + stream[at + 1 :]
    wanted: list[Packet] = []
    failure = ""
    pos = 0
    try:
        while True:
            begin, end = frame_span(stream, pos)
            if not begin or end > len(stream):
                break
            wanted.append(decode_packet(version, stream[pos], stream[begin:end]))
            pos = end
    except MqttError as error:
        failure = str(error)
    server = connected(version)
    got: list[Packet] = []
    pos = 0
    while pos < len(stream):
        piece = stream[pos : pos + 1 + prng.below(60_000)]
        pos += len(piece)
        if server.is_stopped and prng.chance(1, 2):
            server.hold(piece)
            piece = b""
        got += flat(drained(server, piece)) if prng.chance(1, 2) else received(server, piece)
    got += flat(drained(server, b""))
    assert wanted == got
    assert failure == ("" if server.failure is None else str(server.failure))
