"""Goal: every broken packet is refused with the statement it breaks and the Reason Code to answer with.
Method: a table of bytes, one rule broken in each."""

import pytest

from quantum.core.mqtt.decode import decode_connect, decode_packet
from quantum.core.mqtt.errors import MalformedPacket, MqttError, ProtocolError, UnsupportedProtocol
from quantum.core.mqtt.framer import Framer
from quantum.core.mqtt.packets import V5, V31, V311, Connack, Connect, Disconnect, Packet, Pubrel, Suback, Subscribe

M, P = MalformedPacket, ProtocolError
OLD, NEW, ALL = (V31, V311), (V5,), (V31, V311, V5)

# versions, first byte and body in hex, kind, statement, reason code
BROKEN: list[tuple[tuple[int, ...], str, str, type[MqttError], str, int]] = [
    # fixed header
    (ALL, "00", "", M, "§2.1.2", 0x81),
    (OLD, "f0", "", M, "§2.1.2", 0x81),
    (ALL, "11", "", M, "MQTT-2.1.3-1", 0x81),
    (ALL, "41", "0001", M, "MQTT-2.1.3-1", 0x81),
    (ALL, "60", "0001", M, "MQTT-3.6.1-1", 0x81),
    (ALL, "80", "", M, "MQTT-3.8.1-1", 0x81),
    (ALL, "a0", "", M, "MQTT-3.10.1-1", 0x81),
    (NEW, "e1", "", M, "MQTT-3.14.1-1", 0x81),
    (NEW, "f1", "", M, "MQTT-3.15.1-1", 0x81),
    ((V311, V5), "6a", "0001", M, "MQTT-3.6.1-1", 0x81),
    ((V311, V5), "8a", "", M, "MQTT-3.8.1-1", 0x81),
    # CONNECT
    (ALL, "10", "", M, "§1.5.4", 0x81),
    (ALL, "10", "00044d515454", M, "§3.1.2", 0x81),
    (ALL, "10", "00044d51545404", M, "§3.1.2", 0x81),
    (ALL, "10", "00044d5154540402", M, "§1.5.2", 0x81),
    (ALL, "10", "00044d5154540403003c000163", M, "MQTT-3.1.2-3", 0x81),
    (ALL, "10", "00044d515454040a003c000163", M, "MQTT-3.1.2-11", 0x81),
    (ALL, "10", "00044d5154540422003c000163", M, "MQTT-3.1.2-11", 0x81),
    (ALL, "10", "00044d515454041e003c00016300017700017a", M, "MQTT-3.1.2-12", 0x81),
    (ALL, "10", "00044d5154540442003c00016300017a", M, "v3.1.1 MQTT-3.1.2-22", 0x81),
    (ALL, "10", "00044d5154540402003c000163ff", M, "§2.1.4", 0x81),
    (ALL, "10", "00044d5154540402003c0001c0", M, "MQTT-1.5.4-1", 0x81),
    (ALL, "10", "00044d5154540402003c000100", M, "MQTT-1.5.4-2", 0x81),
    (ALL, "10", "00044d5154540402003c0003eda080", M, "MQTT-1.5.4-1", 0x81),
    (ALL, "10", "00044d5154540402003c0002c080", M, "MQTT-1.5.4-1", 0x81),
    (ALL, "10", "00044d5154540482003c000163", M, "§1.5.4", 0x81),
    (ALL, "10", "00044d5154540406003c0001630001230000", P, "MQTT-3.3.2-2", 0x90),
    (ALL, "10", "00044d5154540502003c041600017800000163", P, "§3.1.2.11.10", 0x82),
    (ALL, "10", "00044d5154540502003c", M, "§1.5.5", 0x81),
    (ALL, "10", "00044d5154540502003c03210000000163", P, "§3.1.2.11.3", 0x82),
    (ALL, "10", "00044d5154540502003c0527000000000001 63", P, "§3.1.2.11.4", 0x82),
    (ALL, "10", "00044d5154540502003c021702000163", P, "§2.2.2.2", 0x82),
    (ALL, "10", "00044d5154540502003c0417001700000163", P, "§2.2.2.2", 0x82),
    (ALL, "10", "00044d5154540502003c022400000163", M, "§2.2.2.2", 0x81),
    (ALL, "10", "00044d5154540502003c02ff00000163", M, "MQTT-1.5.5-1", 0x81),
    (ALL, "10", "00044d5154540502003c02047f000163", M, "§2.2.2.2", 0x81),
    (ALL, "10", "00044d5154540502003c097f", M, "§2.2.2.1", 0x81),
    (ALL, "10", "00044d5154540502003c02 2100 000163", M, "§1.5.2", 0x81),
    (ALL, "10", "00044d5154540502003c04 11000000 000163", M, "§1.5.3", 0x81),
    # CONNACK
    (ALL, "20", "00", M, "§3.2.2", 0x81),
    ((V311,), "20", "0200", M, "MQTT-3.2.2-1", 0x81),
    (NEW, "20", "020000", M, "MQTT-3.2.2-1", 0x81),
    ((V311,), "20", "0105", P, "MQTT-3.2.2-6", 0x82),
    (NEW, "20", "018700", P, "MQTT-3.2.2-6", 0x82),
    (OLD, "20", "0006", M, "v3.1.1 §3.2.2.3", 0x81),
    (OLD, "20", "000000", M, "§2.1.4", 0x81),
    (NEW, "20", "000500", P, "§2.4", 0x82),
    (NEW, "20", "000000ff", M, "§2.1.4", 0x81),
    # PUBLISH
    (ALL, "36", "0001610001", M, "MQTT-3.3.1-4", 0x81),
    (ALL, "38", "00016100", M, "MQTT-3.3.1-2", 0x81),
    (ALL, "30", "", M, "§1.5.4", 0x81),
    (ALL, "30", "000561", M, "§1.5.4", 0x81),
    (ALL, "32", "0001610000", P, "MQTT-2.2.1-3", 0x82),
    (ALL, "32", "00016100", M, "§1.5.2", 0x81),
    (ALL, "30", "00012300", P, "MQTT-3.3.2-2", 0x90),
    (ALL, "30", "00012b00", P, "MQTT-3.3.2-2", 0x90),
    (ALL, "30", "000000", P, "MQTT-4.7.3-1", 0x90),
    (ALL, "30", "00010000", M, "MQTT-1.5.4-2", 0x81),
    (NEW, "30", "000161", M, "§1.5.5", 0x81),
    (NEW, "30", "00016103230000", P, "MQTT-3.3.2-8", 0x94),
    (NEW, "30", "00016106230001230002", P, "§2.2.2.2", 0x82),
    (NEW, "30", "000161020b00", P, "§3.8.2.1.2", 0x82),
    (NEW, "30", "00016104080001 2b", P, "MQTT-3.3.2-14", 0x82),
    (NEW, "30", "00016103080000", P, "MQTT-4.7.3-1", 0x82),
    (NEW, "30", "000161020102", P, "§2.2.2.2", 0x82),
    (NEW, "30", "00016101 01", M, "§2.2.2.2", 0x81),
    (NEW, "30", "000161051800000001", M, "§2.2.2.2", 0x81),
    (NEW, "30", "0001610526000161 00", M, "§1.5.4", 0x81),
    (NEW, "30", "000161040900ff61", M, "§1.5.6", 0x81),
    (NEW, "30", "00016102 0900", M, "§1.5.6", 0x81),
    (NEW, "30", "00016180800000", M, "MQTT-1.5.5-1", 0x81),
    (NEW, "30", "00016180808080", M, "§1.5.5", 0x81),
    # acknowledgements
    (ALL, "40", "00", M, "§1.5.2", 0x81),
    (ALL, "40", "0000", P, "MQTT-2.2.1-3", 0x82),
    (ALL, "50", "0000", P, "MQTT-2.2.1-3", 0x82),
    (ALL, "62", "0000", P, "MQTT-2.2.1-3", 0x82),
    (ALL, "70", "0000", P, "MQTT-2.2.1-3", 0x82),
    (OLD, "40", "000100", M, "§2.1.4", 0x81),
    (NEW, "40", "000192", P, "§2.4", 0x82),
    (NEW, "62", "000110", P, "§2.4", 0x82),
    (NEW, "40", "00010000ff", M, "§2.1.4", 0x81),
    (NEW, "40", "000100022100", M, "§2.2.2.2", 0x81),
    # SUBSCRIBE, SUBACK
    (OLD, "82", "000000016100", P, "MQTT-2.2.1-3", 0x82),
    (NEW, "82", "00000000016100", P, "MQTT-2.2.1-3", 0x82),
    (OLD, "82", "0001", P, "MQTT-3.8.3-2", 0x82),
    (NEW, "82", "000100", P, "MQTT-3.8.3-2", 0x82),
    (OLD, "82", "0001000161", M, "§3.8.3", 0x81),
    (OLD, "82", "000100016103", M, "v3.1.1 MQTT-3-8.3-4", 0x81),
    (OLD, "82", "000100016104", M, "v3.1.1 MQTT-3-8.3-4", 0x81),
    (NEW, "82", "00010000016103", P, "§3.8.3.1", 0x82),
    (NEW, "82", "00010000016140", M, "MQTT-3.8.3-5", 0x81),
    (NEW, "82", "00010000016130", P, "§3.8.3.1", 0x82),
    (NEW, "82", "000100000a2473686172652f672f6104", P, "MQTT-3.8.3-4", 0x82),
    (NEW, "82", "0001020b0000016100", P, "§3.8.2.1.2", 0x82),
    (NEW, "82", "0001040b010b0200016100", P, "§2.2.2.2", 0x82),
    (OLD, "82", "0001000000", P, "MQTT-4.7.3-1", 0x8F),
    (OLD, "82", "0001000323 2f6100", P, "MQTT-4.7.1-1", 0x8F),
    (OLD, "90", "0001", M, "MQTT-3.8.4-6", 0x81),
    (OLD, "90", "000103", M, "v3.1.1 MQTT-3.9.3-2", 0x81),
    (NEW, "90", "000100", M, "MQTT-3.8.4-6", 0x81),
    (NEW, "90", "00010010", P, "§2.4", 0x82),
    # UNSUBSCRIBE, UNSUBACK
    (OLD, "a2", "0000000161", P, "MQTT-2.2.1-3", 0x82),
    (OLD, "a2", "0001", P, "MQTT-3.10.3-2", 0x82),
    (NEW, "a2", "000100", P, "MQTT-3.10.3-2", 0x82),
    (OLD, "a2", "000100022b61", P, "MQTT-4.7.1-2", 0x8F),
    (OLD, "b0", "000100", M, "§2.1.4", 0x81),
    (NEW, "b0", "000100", M, "MQTT-3.11.3-1", 0x81),
    (NEW, "b0", "00010001", P, "§2.4", 0x82),
    # the rest
    (ALL, "c0", "00", M, "§2.1.4", 0x81),
    (ALL, "d0", "00", M, "§2.1.4", 0x81),
    (OLD, "e0", "00", M, "§2.1.4", 0x81),
    (NEW, "e0", "01", P, "§2.4", 0x82),
    (NEW, "e0", "0000ff", M, "§2.1.4", 0x81),
    (NEW, "e0", "00021300", M, "§2.2.2.2", 0x81),
    (NEW, "f0", "87", P, "§2.4", 0x82),
    (NEW, "f0", "1800ff", M, "§2.1.4", 0x81),
]
CASES = [(version, *row[1:]) for row in BROKEN for version in row[0]]


@pytest.mark.parametrize(("version", "first", "body", "kind", "statement", "reason_code"), CASES)
def test_broken_packet_is_refused_with_its_statement(
    version: int, first: str, body: str, kind: type[MqttError], statement: str, reason_code: int
) -> None:
    with pytest.raises(MqttError) as caught:
        decode_packet(version, int(first, 16), bytes.fromhex(body))
    assert (kind, statement, reason_code) == (type(caught.value), caught.value.statement, caught.value.reason_code)
    assert str(caught.value) == f"{caught.value.text} [{statement}]"
    assert not caught.value.text.endswith(".")


# What looks broken and is allowed in the version.
ALLOWED: list[tuple[int, str, str, Packet]] = [
    (V31, "6a", "0001", Pubrel(1)),
    (V31, "20", "ff00", Connack(False, 0)),
    (V31, "10", "00064d51497364700383003c000163", Connect(V31, "c", True, 60)),
    (V31, "10", "00064d514973647003c2003c000163000175", Connect(V31, "c", True, 60, "u")),
    (V31, "90", "000180", Suback(1, [0x80])),
    (V5, "10", "00044d5154540542000000000163000170", Connect(V5, "c", True, 0, password=b"p")),
    (V5, "10", "00044d515454050200000000 03efbbbf", Connect(V5, "\ufeff", True, 0)),
    (V5, "e0", "00", Disconnect(0)),
]


@pytest.mark.parametrize(("version", "first", "body", "packet"), ALLOWED)
def test_what_a_version_leaves_free_is_accepted(version: int, first: str, body: str, packet: Packet) -> None:
    assert packet == decode_packet(version, int(first, 16), bytes.fromhex(body))


def test_subscribe_of_31_may_carry_dup() -> None:
    assert isinstance(decode_packet(V31, 0x8A, bytes.fromhex("000100016101")), Subscribe)


@pytest.mark.parametrize(
    ("body", "name", "level"),
    [
        ("00044d5154540602003c000163", "MQTT", 6),
        ("00044d5154540302003c000163", "MQTT", 3),
        ("00064d51497364700402003c000163", "MQIsdp", 4),
        ("00046d7174740402003c000163", "mqtt", 4),
        ("00044d5154548402003c000163", "MQTT", 0x84),
    ],
)
def test_unknown_protocol_tells_the_level_it_asked_for(body: str, name: str, level: int) -> None:
    with pytest.raises(UnsupportedProtocol) as caught:
        decode_connect(bytes.fromhex(body))
    assert (0x84, name, level) == (caught.value.reason_code, caught.value.protocol_name, caught.value.level)


@pytest.mark.parametrize(
    ("data", "statement", "reason_code"),
    [
        ("3080808080", "§2.1.4", 0x81),
        ("308000", "MQTT-1.5.5-1", 0x81),
        ("00", "§2.1.2", 0x81),
        ("f1", "MQTT-3.15.1-1", 0x81),
        ("3063", "MQTT-3.1.2-24", 0x95),
        ("30ffffff7f", "MQTT-3.1.2-24", 0x95),
    ],
)
def test_framer_refuses_from_the_fixed_header(data: str, statement: str, reason_code: int) -> None:
    with pytest.raises(MqttError) as caught:
        Framer(100).feed(bytes.fromhex(data))
    assert (statement, reason_code) == (caught.value.statement, caught.value.reason_code)


def test_largest_allowed_packet_passes_and_one_byte_more_does_not() -> None:
    assert [(0x30, b"x" * 98)] == Framer(100).feed(b"\x30\x62" + b"x" * 98)
    with pytest.raises(ProtocolError):
        Framer(100).feed(b"\x30\x63")


def test_packets_before_a_bad_one_come_first_and_the_next_call_raises() -> None:
    framer = Framer(100)
    assert [(0xC0, b"")] == framer.feed(b"\xc0\x00\x00")
    with pytest.raises(MalformedPacket):
        framer.feed(b"")


def test_flags_are_checked_before_the_body_arrives() -> None:
    with pytest.raises(MalformedPacket):
        Framer(100).feed(b"\x61")
