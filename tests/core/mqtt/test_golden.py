"""Goal: bytes and packets are the same in every version, both ways. Method: vectors written by hand, whole, byte by byte,
in one piece with others, cut short, and with bytes behind their end."""

import pytest

from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.errors import MqttError
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.packets import Publish
from tests.core.mqtt.rows import PACKETS, ROWS, Row

each_row = pytest.mark.parametrize("row", ROWS, ids=str)


def test_every_packet_of_the_table_has_a_vector() -> None:
    assert {(version, name) for version in PACKETS for name in PACKETS[version]} == {
        (row.version, row.name) for row in ROWS
    }


def test_every_packet_type_of_each_version_is_there() -> None:
    assert set(range(1, 16)) == {row.data[0] >> 4 for row in ROWS if row.version == 5}
    assert set(range(1, 15)) == {row.data[0] >> 4 for row in ROWS if row.version == 4}


@each_row
def test_bytes_decode_to_the_packet(row: Row) -> None:
    frames = Framer(PACKET_BYTES_LIMIT).feed(row.data)
    assert [row.packet] == [decode_packet(row.version, first, body) for first, body in frames]


@each_row
def test_packet_encodes_to_the_bytes(row: Row) -> None:
    assert row.data == encode_packet(row.version, row.packet)


@each_row
def test_encoded_packet_decodes_to_itself(row: Row) -> None:
    ((first, body),) = Framer(PACKET_BYTES_LIMIT).feed(encode_packet(row.version, row.packet))
    assert row.packet == decode_packet(row.version, first, body)


@each_row
def test_bytes_one_by_one_give_the_packet_with_the_last(row: Row) -> None:
    framer = Framer(PACKET_BYTES_LIMIT)
    for at in range(len(row.data) - 1):
        assert [] == framer.feed(row.data[at : at + 1])
    ((first, body),) = framer.feed(row.data[-1:])
    assert row.packet == decode_packet(row.version, first, body)


@each_row
def test_two_packets_split_anywhere_give_both(row: Row) -> None:
    stream = row.data + row.data
    for at in range(len(stream) + 1):
        framer = Framer(PACKET_BYTES_LIMIT)
        frames = framer.feed(stream[:at]) + framer.feed(stream[at:])
        assert [row.packet, row.packet] == [decode_packet(row.version, first, body) for first, body in frames]


@each_row
def test_trailing_byte_is_refused_unless_it_is_payload(row: Row) -> None:
    body = row.data[2:] + b"\xfe"
    if isinstance(row.packet, Publish):
        packet = decode_packet(row.version, row.data[0], body)
        assert isinstance(packet, Publish)
        assert row.packet.payload + b"\xfe" == packet.payload
        return
    with pytest.raises(MqttError):
        decode_packet(row.version, row.data[0], body)


@each_row
def test_a_packet_cut_short_is_refused_or_another_packet(row: Row) -> None:
    body = row.data[2:]
    for size in range(len(body)):
        try:
            packet = decode_packet(row.version, row.data[0], body[:size])
        except MqttError:
            continue
        assert row.packet != packet
