"""Messages as JSON, one a line: what `subscribe` prints is what `publish --format json` reads."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from quantum.core.mqtt.packets import NO_EXPIRY, Publish
from quantum.core.mqtt.properties import (
    CONTENT_TYPE,
    CORRELATION_DATA,
    PAYLOAD_FORMAT_INDICATOR,
    RESPONSE_TOPIC,
    USER_PROPERTY,
    Properties,
    decode_forwarded,
    encode_forwarded,
)

KEYS: Final = frozenset(
    "ts topic qos retain dup payload payload_b64 message_expiry_s subscription_ids payload_format content_type "
    "response_topic correlation_data_b64 user_properties".split()
)


@dataclass(slots=True)
class OutgoingMessage:
    """A message to be published."""

    topic_name: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties = field(default_factory=dict)
    message_expiry_s: int = NO_EXPIRY

    def encoded_properties(self) -> bytes:
        """As the wire has them."""
        return encode_forwarded(self.properties)


def encode_message(packet: Publish, wall: datetime) -> str:
    """One line of JSON. `payload` where the bytes are UTF-8 text, else `payload_b64`."""
    stamp = wall.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    row: dict[str, Any] = {"ts": stamp, "topic": packet.topic_name, "qos": packet.qos, "retain": packet.retain}
    if packet.dup:
        row["dup"] = True
    try:
        row["payload"] = packet.payload.decode("utf-8")
    except UnicodeDecodeError:
        row["payload_b64"] = base64.b64encode(packet.payload).decode("ascii")
    if packet.message_expiry_s != NO_EXPIRY:
        row["message_expiry_s"] = packet.message_expiry_s
    if packet.subscription_ids:
        row["subscription_ids"] = list(packet.subscription_ids)
    if packet.properties:
        row.update(_property_row(decode_forwarded(packet.properties)))
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def decode_message(line: str, topic_name: str | None, qos: int, retain: bool) -> OutgoingMessage:
    """Inverse of `encode_message` as far as a publisher may choose; arguments stand in for absent keys.

    Raises: ValueError.
    """
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError(f"a JSON {type(row).__name__}, allowed an object")
    unknown = sorted(set(row) - KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]}, allowed {', '.join(sorted(KEYS))}")
    topic = row.get("topic", topic_name)
    if not isinstance(topic, str) or not topic:
        raise ValueError("no topic: give the key `topic` or the option --topic")
    if "payload_b64" in row:
        payload = base64.b64decode(_text(row, "payload_b64"), validate=True)
    else:
        payload = _text(row, "payload").encode()
    qos = row.get("qos", qos)
    if qos not in (0, 1, 2):
        raise ValueError(f"qos {qos}, allowed 0, 1, 2")
    properties: Properties = {}
    if "payload_format" in row:
        properties[PAYLOAD_FORMAT_INDICATOR] = int(row["payload_format"])
    if "content_type" in row:
        properties[CONTENT_TYPE] = _text(row, "content_type")
    if "response_topic" in row:
        properties[RESPONSE_TOPIC] = _text(row, "response_topic")
    if "correlation_data_b64" in row:
        properties[CORRELATION_DATA] = base64.b64decode(_text(row, "correlation_data_b64"), validate=True)
    if "user_properties" in row:
        properties[USER_PROPERTY] = [(str(name), str(value)) for name, value in row["user_properties"]]
    expiry_s = int(row.get("message_expiry_s", NO_EXPIRY))
    return OutgoingMessage(topic, payload, qos, bool(row.get("retain", retain)), properties, expiry_s)


def _property_row(properties: Properties) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if PAYLOAD_FORMAT_INDICATOR in properties:
        row["payload_format"] = properties[PAYLOAD_FORMAT_INDICATOR]
    if CONTENT_TYPE in properties:
        row["content_type"] = properties[CONTENT_TYPE]
    if RESPONSE_TOPIC in properties:
        row["response_topic"] = properties[RESPONSE_TOPIC]
    correlation = properties.get(CORRELATION_DATA)
    if isinstance(correlation, bytes):
        row["correlation_data_b64"] = base64.b64encode(correlation).decode("ascii")
    if USER_PROPERTY in properties:
        row["user_properties"] = properties[USER_PROPERTY]
    return row


def _text(row: dict[str, Any], key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} is a {type(value).__name__}, allowed a string")
    return value
