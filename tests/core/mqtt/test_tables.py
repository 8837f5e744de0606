"""Goal: the tables of properties and reason codes are the standard's, and the integers and strings keep their bounds.
Method: the standard's tables written a second time, in another shape, and the edges of every type."""

import sys
from types import FrameType

import pytest

from quantum.core.mqtt.encode import encode_packet, publish_parts
from quantum.core.mqtt.errors import MalformedPacket, MqttError
from quantum.core.mqtt.packets import V5, V31, V311, Connack, Publish, Suback
from quantum.core.mqtt.properties import (
    decode_forwarded,
    decode_properties,
    encode_forwarded,
    encode_properties,
    may_stand_in,
    property_ids,
    property_name,
    split_forwarded,
)
from quantum.core.mqtt.reason_codes import all_reason_codes, may_carry, reason_name, return_code_of
from quantum.core.mqtt.wire import (
    U16,
    decode_binary,
    decode_string,
    decode_u16,
    decode_u32,
    decode_varint,
    encode_binary,
    encode_string,
    encode_u32,
    encode_varint,
    is_string,
)

# 2.2.2.2 by packet: type, 0 for the will → identifiers.
STANDS_IN = {
    0: {0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26},
    1: {0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27},
    2: {0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A},
    3: {0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26},
    **{acknowledgement: {0x1F, 0x26} for acknowledgement in (4, 5, 6, 7, 9, 11)},
    8: {0x0B, 0x26},
    10: {0x26},
    12: set(),
    13: set(),
    14: {0x11, 0x1C, 0x1F, 0x26},
    15: {0x15, 0x16, 0x1F, 0x26},
}
# 2.4 by packet.
CARRIES = {
    2: {0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
    4: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    5: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    6: {0x00, 0x92},
    7: {0x00, 0x92},
    9: {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    11: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    14: {0x00, 0x04, *range(0x80, 0x84), 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, *range(0x93, 0xA3)},
    15: {0x00, 0x18, 0x19},
}


@pytest.mark.parametrize("packet_type", STANDS_IN)
def test_properties_stand_where_the_standard_says(packet_type: int) -> None:
    assert STANDS_IN[packet_type] == {number for number in range(256) if may_stand_in(number, packet_type)}


@pytest.mark.parametrize("packet_type", CARRIES)
def test_reason_codes_stand_where_the_standard_says(packet_type: int) -> None:
    assert CARRIES[packet_type] == {code for code in range(256) if may_carry(packet_type, code)}


def test_every_property_and_code_has_a_name() -> None:
    assert 27 == len(property_ids()) == len({property_name(number) for number in property_ids()})
    assert 43 == len(all_reason_codes()) == len({reason_name(code) for code in all_reason_codes()})
    assert ("0xFE", "0x7E") == (reason_name(0xFE), property_name(0x7E))


@pytest.mark.parametrize(
    ("reason_code", "return_code"),
    [(0, 0), (0x84, 1), (0x85, 2), (0x88, 3), (0x97, 3), (0x86, 4), (0x87, 5), (0x8C, 5), (0x90, -1), (0x9B, -1)],
)
def test_reason_codes_become_return_codes(reason_code: int, return_code: int) -> None:
    assert return_code == return_code_of(reason_code)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])
def test_varint_is_shortest_and_comes_back(number: int) -> None:
    data = encode_varint(number)
    assert max(1, -(-number.bit_length() // 7)) == len(data)
    assert (number, len(data) + 1) == decode_varint(b"\xff" + data, 1)


def test_integers_and_bytes_come_back() -> None:
    assert 65_536 == len(U16)
    assert all(number == int.from_bytes(data, "big") for number, data in enumerate(U16))
    assert (0xFFFFFFFE, 4) == decode_u32(encode_u32(0xFFFFFFFE), 0)
    assert (0xFFFE, 2) == decode_u16(U16[0xFFFE], 0)
    assert (b"\x00" * 65_535, 65_537) == decode_binary(encode_binary(b"\x00" * 65_535), 0)
    assert ("é\ufeff😀", 11) == decode_string(encode_string("é\ufeff😀"), 0)


def test_strings_that_cannot_be_sent_are_known() -> None:
    assert [True, False, False, False] == [
        is_string("é" * 32_767),
        is_string("é" * 32_768),
        is_string("\x00"),
        is_string("\ud800"),
    ]


@pytest.mark.parametrize("packet_type", STANDS_IN)
def test_every_property_goes_out_and_comes_back(packet_type: int) -> None:
    flags = {0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A}
    for number in sorted(STANDS_IN[packet_type]):
        if number == 0x26:
            value: object = [("k", "v"), ("", ""), ("k", "w")]
        elif number == 0x0B:
            value = [268_435_455]
        elif number in (0x09, 0x16):
            value = b"\x00\xff"
        elif number in (0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F):
            value = "é"
        else:
            value = 1 if number in flags else 65_535 if number in (0x13, 0x21, 0x22, 0x23) else 0xFFFFFFFF
        data = encode_properties({number: value})  # type: ignore[dict-item]
        assert ({number: value}, len(data)) == decode_properties(data, 0, packet_type)


@pytest.mark.parametrize("packet_type", STANDS_IN)
def test_every_property_elsewhere_is_malformed(packet_type: int) -> None:
    for number in range(128):
        if number not in STANDS_IN[packet_type]:
            with pytest.raises(MqttError) as caught:
                decode_properties(bytes((6, number, 0, 1, 0x61, 0, 0)), 0, packet_type)
            assert (0x81, "§2.2.2.2") == (caught.value.reason_code, caught.value.statement)


def test_what_belongs_to_the_hop_is_parted_from_what_is_forwarded() -> None:
    kept = bytes.fromhex("2600016100016203000174 2600016100016309000100 0101 0800 0172")
    data = bytes.fromhex("020000003c") + kept + bytes.fromhex("230007")
    whole = encode_varint(len(data)) + data
    assert (kept, {0x02: 60, 0x23: 7}, [], len(whole)) == split_forwarded(whole, 0, 3)
    forwarded = decode_forwarded(kept)
    assert {0x26: [("a", "b"), ("a", "c")], 0x03: "t", 0x09: b"\x00", 0x01: 1, 0x08: "r"} == forwarded
    assert forwarded == decode_forwarded(encode_forwarded(forwarded))


@pytest.mark.parametrize("version", [V31, V311, V5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_parts_around_the_packet_id_are_the_packet(version: int, qos: int) -> None:
    properties = b"\x01\x01" if version == V5 else b""
    head, tail = publish_parts(version, b"a/b", b"x" * 200, qos, True, False, properties)
    packet = Publish("a/b", b"x" * 200, qos, True, packet_id=513 if qos else 0, properties=properties)
    assert encode_packet(version, packet) == (head + U16[513] + tail if qos else head)
    assert (tail == b"") == (qos == 0)


def test_old_versions_get_only_what_they_know() -> None:
    assert bytes.fromhex("90050001000280") == encode_packet(V311, Suback(1, [0, 2, 0x97]))
    assert bytes.fromhex("20020000") == encode_packet(V31, Connack(True, 0))
    assert bytes.fromhex("20020100") == encode_packet(V311, Connack(True, 0))


@pytest.mark.parametrize(
    "data",
    [
        "26",
        "2600",
        "260000",
        "26000000",
        "26000161",
        "2600016100",
        "260001610001",
        "26000261",
        "26000161000100",
        "26000100000161",
        "260001ff0000",
        "2600000001ff",
        "260003eda0800000",
    ],
)
def test_user_property_that_is_cut_off_or_no_text_is_malformed(data: str) -> None:
    block = bytes.fromhex("2600016b000176" + data)
    for decode in (decode_properties, split_forwarded):
        with pytest.raises(MalformedPacket):
            decode(encode_varint(len(block)) + block, 0, 3)


@pytest.mark.parametrize("unit", ["2600000000", "2600016b000176", "0b01"])
def test_property_that_may_come_often_costs_a_call_or_two_each(unit: str) -> None:
    """A packet of a MiB holds two hundred thousand User Properties; it must not hold up the one thread for a second."""
    count = 1_000
    block = bytes.fromhex(unit) * count
    calls = [0]

    def on_event(frame: FrameType, event: str, _: object) -> None:
        calls[0] += event == "call"

    sys.setprofile(on_event)
    try:
        split_forwarded(encode_varint(len(block)) + block, 0, 3)
    finally:
        sys.setprofile(None)
    assert calls[0] <= 2 * count + 20
