"""Goal: what `subscribe` prints, `publish` reads back unchanged. Method: encode and decode as a pair, then lines that
must be refused."""

import json
from datetime import UTC, datetime

import pytest

from quantum.cli.message_json import decode_message, encode_message
from quantum.core.mqtt.packets import Publish
from quantum.core.mqtt.properties import (
    CONTENT_TYPE,
    CORRELATION_DATA,
    PAYLOAD_FORMAT_INDICATOR,
    RESPONSE_TOPIC,
    USER_PROPERTY,
    encode_forwarded,
)

WALL = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


@pytest.mark.parametrize("payload", [b"", b"text", "ä€".encode(), b"\xff\x00", b'{"a": "\\n"}', bytes(range(256))])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_message_survives_the_way_through_json(payload: bytes, qos: int) -> None:
    properties = {
        PAYLOAD_FORMAT_INDICATOR: 0,
        CONTENT_TYPE: "text/plain",
        RESPONSE_TOPIC: "answer",
        CORRELATION_DATA: b"\x01\xff",
        USER_PROPERTY: [("a", "1"), ("a", "2")],
    }
    packet = Publish("a/b", payload, qos, True, properties=encode_forwarded(properties), message_expiry_s=60)
    message = decode_message(encode_message(packet, WALL), None, 0, False)
    assert ("a/b", payload, qos, True, 60) == (
        message.topic_name,
        message.payload,
        message.qos,
        message.retain,
        message.message_expiry_s,
    )
    assert packet.properties == message.encoded_properties()


def test_line_has_the_keys_that_scripts_rely_on() -> None:
    line = encode_message(Publish("t", b"hi", 1), WALL)
    assert {"ts": "2026-01-02T03:04:05.678Z", "topic": "t", "qos": 1, "retain": False, "payload": "hi"} == json.loads(
        line
    )
    assert "payload_b64" in json.loads(encode_message(Publish("t", b"\xff", 1), WALL))


def test_options_stand_in_for_absent_keys() -> None:
    message = decode_message('{"payload":"x"}', "from/option", 2, True)
    assert ("from/option", 2, True) == (message.topic_name, message.qos, message.retain)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        '{"payload":"x"}',
        '{"topic":"","payload":"x"}',
        '{"topic":"t","payload":1}',
        '{"topic":"t","qos":3}',
        '{"topic":"t","payload_b64":"*"}',
        '{"topic":"t","payloud":"x"}',
        '{"topic":"t","message_expiry_s":"soon"}',
    ],
)
def test_lines_that_mean_nothing_are_refused(line: str) -> None:
    with pytest.raises(ValueError):
        decode_message(line, None, 1, False)
