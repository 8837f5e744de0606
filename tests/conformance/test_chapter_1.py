"""Goal: data is represented as chapter 1 says, in both directions. Method: hand-made strings and integers, one fault each."""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.raw import Raw, closes
from tests.conformance.statements import statement

MALFORMED = 0x81
BOM = b"\xef\xbb\xbf"

# Not well-formed UTF-8. Unicode 3.9, table 3-7
ILL_FORMED = {
    "lonely-continuation": b"\x80",
    "cut-off": b"a\xe2\x82",
    "overlong-slash": b"\xc0\xaf",
    "overlong-null": b"\xc0\x80",
    "beyond-10FFFF": b"\xf4\x90\x80\x80",
    "latin-1": b"caf\xe9",
    "high-surrogate": b"\xed\xa0\x80",
    "low-surrogate": b"\xed\xbf\xbf",
    "pair-of-surrogates": b"\xed\xa0\x80\xed\xb0\x80",
}
NULL = {"null": b"a\0b"}
ill_formed = pytest.mark.parametrize("text", ILL_FORMED.values(), ids=ILL_FORMED)
bad_text = pytest.mark.parametrize("text", [*ILL_FORMED.values(), *NULL.values()], ids=[*ILL_FORMED, *NULL])


def no_properties(version: int) -> bytes:
    return raw.props() if version == 5 else b""


@statement("MQTT-1.5.4-1", "311:MQTT-1.5.3-1", "311:MQTT-3.3.2-1")
@ill_formed
def test_topic_name_that_is_not_utf8_closes(target: Target, version: int, bystander: Bystander, text: bytes) -> None:
    closes(target, version, raw.packet(raw.PUBLISH, 0, raw.binary(text), no_properties(version)), MALFORMED)


@statement("MQTT-1.5.4-2", "311:MQTT-1.5.3-2")
def test_topic_name_with_null_closes(target: Target, version: int, bystander: Bystander) -> None:
    closes(target, version, raw.packet(raw.PUBLISH, 0, raw.binary(b"a\0b"), no_properties(version)), MALFORMED)


@statement("MQTT-1.5.4-1", "MQTT-1.5.4-2", "311:MQTT-1.5.3-1", "311:MQTT-1.5.3-2")
@bad_text
@pytest.mark.parametrize("kind", [raw.SUBSCRIBE, raw.UNSUBSCRIBE], ids=["subscribe", "unsubscribe"])
def test_topic_filter_that_is_no_string_closes(target: Target, version: int, kind: int, text: bytes) -> None:
    options = b"\0" if kind == raw.SUBSCRIBE else b""
    closes(
        target, version, raw.packet(kind, 2, raw.u16(7), no_properties(version), raw.binary(text), options), MALFORMED
    )


@statement("MQTT-1.5.4-1", "MQTT-1.5.4-2", "311:MQTT-1.5.3-1", "311:MQTT-1.5.3-2")
@statement(
    "MQTT-3.1.3-4", "MQTT-3.1.3-11", "MQTT-3.1.3-12", "311:MQTT-3.1.3-4", "311:MQTT-3.1.3-10", "311:MQTT-3.1.3-11"
)
@bad_text
@pytest.mark.parametrize("place", ["client_id", "will_topic", "username"])
def test_connect_with_what_is_no_string_is_refused(
    target: Target, version: int, place: str, text: bytes, bystander: Bystander
) -> None:
    flags = {"client_id": 0x02, "will_topic": 0x06, "username": 0x82}[place]
    fields = [raw.binary(text) if place == "client_id" else raw.utf8("c")]
    if place == "will_topic":
        fields += [no_properties(version), raw.binary(text), raw.binary(b"will")]
    elif place == "username":
        fields.append(raw.binary(text))
    head = raw.utf8("MQIsdp" if version == 3 else "MQTT") + bytes((version, flags)) + raw.u16(60)
    with Raw(target, version) as connection:
        connection.send(raw.packet(raw.CONNECT, 0, head, no_properties(version), *fields))
        if version == 5:
            connection.expect_refused(MALFORMED)
        else:
            connection.expect_refused()


@statement("MQTT-1.5.4-1", "MQTT-1.5.4-2")
@bad_text
@pytest.mark.versions(5)
@pytest.mark.parametrize("identifier", [raw.CONTENT_TYPE, raw.RESPONSE_TOPIC], ids=["content_type", "response_topic"])
def test_property_that_is_no_string_closes(target: Target, version: int, identifier: int, text: bytes) -> None:
    closes(target, version, raw.publish(version, "t", b"", properties=[(identifier, text)]), MALFORMED)


@statement("MQTT-1.5.4-3", "311:MQTT-1.5.3-3")
@pytest.mark.parametrize("topic", ["\ufeff{}", "{}\ufeff", "{}/\ufeff\ufeff/x"], ids=["front", "end", "middle"])
def test_byte_order_mark_is_a_character_like_any_other(target: Target, version: int, name: str, topic: str) -> None:
    topic = topic.format(name)
    with Raw(target) as connection:
        connection.open(version)
        connection.subscribe((topic, 0))
        connection.send(raw.publish(version, topic.replace("\ufeff", ""), b"without"))
        connection.send(raw.publish(version, topic, b"with"))
        received = connection.expect(raw.PUBLISH)
        assert (topic, b"with") == (received.topic, received.payload)
        assert BOM in received.body
        connection.expect_silence()


@statement("MQTT-1.5.4-3")
@pytest.mark.versions(5)
def test_byte_order_mark_in_a_property_is_forwarded(target: Target, version: int, name: str) -> None:
    with Raw(target) as connection:
        connection.open(version)
        connection.subscribe((name, 0))
        sent: list[raw.Property] = [(raw.CONTENT_TYPE, "\ufefftext"), (raw.USER_PROPERTY, ("\ufeff", "\ufeff"))]
        connection.send(raw.publish(version, name, b"", properties=sent))
        assert sorted(sent) == sorted(connection.expect(raw.PUBLISH).properties)


@statement("MQTT-1.5.4-1", "311:MQTT-1.5.3-1")
@pytest.mark.parametrize("topic", ["{}/é/中/\U0001f300", "{}/\x01\x7f\x9f", "{}/\ufffe\uffff\U0010ffff"])
def test_well_formed_text_of_any_plane_is_forwarded_unchanged(
    target: Target, version: int, name: str, topic: str
) -> None:
    """Control characters and noncharacters SHOULD NOT be sent: a server may refuse them, and must not change them."""
    topic = topic.format(name.encode("ascii", "ignore").decode().split("-")[0])
    with Raw(target) as connection:
        connection.open(version)
        connection.subscribe((topic, 0))
        connection.send(raw.publish(version, topic, b"x"))
        assert topic == connection.expect(raw.PUBLISH).topic


@statement("MQTT-1.5.5-1")
@pytest.mark.parametrize("length", [b"\x80\x80\x80\x80\x01", b"\xff\xff\xff\xff\x7f"], ids=["small", "large"])
def test_remaining_length_of_five_bytes_closes(
    target: Target, version: int, bystander: Bystander, length: bytes
) -> None:
    closes(target, version, b"\x30" + length + bytes(64), MALFORMED)


@statement("MQTT-1.5.5-1")
@pytest.mark.versions(5)
@pytest.mark.parametrize(
    "data", ["c08000", "3084000001610078", "3006000161800078"], ids=["ping", "publish", "properties"]
)
def test_length_in_more_bytes_than_it_needs_closes(
    target: Target, version: int, bystander: Bystander, data: str
) -> None:
    closes(target, version, bytes.fromhex(data), MALFORMED)


@statement("MQTT-1.5.5-1")
@pytest.mark.parametrize("size", [127, 128, 16_383, 16_384, 300_000])
def test_lengths_of_every_width_arrive_whole_and_shortest(target: Target, version: int, name: str, size: int) -> None:
    """The reader of these tests refuses a length that is longer than needed."""
    payload = bytes(index % 251 for index in range(size - 2 - len(name.encode()) - (1 if version == 5 else 0)))
    data = raw.publish(version, name, payload)
    with Raw(target) as connection:
        connection.open(version)
        connection.subscribe((name, 0))
        connection.send(data)
        received = connection.expect(raw.PUBLISH)
        assert (size, payload) == (len(received.body), received.payload)


@statement("MQTT-1.5.7-1")
@bad_text
@pytest.mark.versions(5)
@pytest.mark.parametrize("place", ["name", "value"])
def test_user_property_that_is_no_pair_of_strings_closes(
    target: Target, version: int, place: str, text: bytes, bystander: Bystander
) -> None:
    pair = raw.binary(text) + raw.utf8("v") if place == "name" else raw.utf8("n") + raw.binary(text)
    inner = bytes((raw.USER_PROPERTY,)) + pair
    closes(target, version, raw.packet(raw.PUBLISH, 0, raw.utf8("t"), raw.varint(len(inner)), inner), MALFORMED)


@statement("MQTT-1.5.7-1")
@pytest.mark.versions(5)
def test_user_property_of_one_string_closes(target: Target, version: int) -> None:
    inner = bytes((raw.USER_PROPERTY,)) + raw.utf8("alone")
    closes(target, version, raw.packet(raw.PUBLISH, 0, raw.utf8("t"), raw.varint(len(inner)), inner), MALFORMED)
