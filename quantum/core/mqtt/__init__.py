"""MQTT 3.1, 3.1.1 and 5.0: bytes to packets and back, and what begins and ends with one Network Connection.

The room never knows tenants, sessions of the broker, partitions, sockets or clocks.

How to drive it. A server feeds what it receives to `connection.ServerConnection` and sends what collects in `out`. A client
makes one `ClientSession`, and for each socket a `ClientConnection` that serves it. Who wants packets alone cuts the bytes
with a `Framer` and asks `decode_packet`; `encode_packet` is its inverse. A message for many receivers is encoded once with
`publish_parts`, and each gets `head + U16[packet_id] + tail`.

`decode` returns a packet that is right or raises `MqttError`, which names the statement that was broken and the Reason Code
to answer with; nothing else leaves this room. What `encode` is given is right already: it asserts at most.
"""

from quantum.core.mqtt.client import NO_CREDIT, PACKET_TOO_LARGE, ClientConnection, ClientSession
from quantum.core.mqtt.connection import PublishRun, ServerConnection
from quantum.core.mqtt.decode import decode_connect, decode_packet, decode_publish
from quantum.core.mqtt.encode import encode_packet, encode_publish, publish_parts
from quantum.core.mqtt.errors import MalformedPacket, MqttError, ProtocolError, UnsupportedProtocol
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.properties import decode_forwarded, decode_properties, encode_forwarded, encode_properties
from quantum.core.mqtt.reason_codes import reason_name, return_code_of
from quantum.core.mqtt.topics import check_topic_filter, check_topic_name, has_wildcard, matches, parse_shared
from quantum.core.mqtt.wire import U16

__all__ = [
    "NO_CREDIT",
    "PACKET_BYTES_LIMIT",
    "PACKET_TOO_LARGE",
    "U16",
    "ClientConnection",
    "ClientSession",
    "Framer",
    "MalformedPacket",
    "MqttError",
    "ProtocolError",
    "PublishRun",
    "ServerConnection",
    "UnsupportedProtocol",
    "check_topic_filter",
    "check_topic_name",
    "decode_connect",
    "decode_forwarded",
    "decode_packet",
    "decode_properties",
    "decode_publish",
    "encode_forwarded",
    "encode_packet",
    "encode_properties",
    "encode_publish",
    "has_wildcard",
    "matches",
    "parse_shared",
    "publish_parts",
    "reason_name",
    "return_code_of",
]
