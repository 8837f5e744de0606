"""The Topic Filters of a SUBSCRIBE or UNSUBSCRIBE, decoded some at a time: a long packet need not be read in one go.

However it is read, the packet comes out whole, or not at all. Source: MQTT 5.0 §3.8, §3.10.
"""

from typing import final

from quantum.core.mqtt.errors import MalformedPacket, ProtocolError
from quantum.core.mqtt.packets import SUBSCRIBE, V5, Subscribe, Subscription, Unsubscribe
from quantum.core.mqtt.properties import Properties
from quantum.core.mqtt.topics import check_topic_filter, parse_shared
from quantum.core.mqtt.wire import decode_string


@final
class FilterReader:
    """The payload of one packet, behind its Packet Identifier and its properties."""

    __slots__ = (
        "_packet_id",
        "_packet_type",
        "_payload",
        "_pos",
        "_properties",
        "_subscriptions",
        "_topic_filters",
        "_version",
    )

    def __init__(self, version: int, packet_type: int, packet_id: int, properties: Properties, payload: bytes) -> None:
        self._version = version
        self._packet_type = packet_type
        self._packet_id = packet_id
        self._properties = properties
        self._payload = payload
        self._pos = 0
        self._subscriptions: list[Subscription] = []
        self._topic_filters: list[str] = []

    def read(self, filters_max: int, bytes_max: int) -> Subscribe | Unsubscribe | None:
        """Decode up to so many filters, and no more of them after so many bytes; the packet when these were its last.

        Raises: MalformedPacket, ProtocolError.
        """
        size = len(self._payload)
        stop = min(size, self._pos + bytes_max)
        if self._packet_type == SUBSCRIBE:
            if size == 0:
                raise ProtocolError("SUBSCRIBE without a Topic Filter", "MQTT-3.8.3-2")
            self._read_subscriptions(filters_max, stop)
            if self._pos < size:
                return None
            return Subscribe(self._packet_id, self._subscriptions, self._properties)
        if size == 0:
            raise ProtocolError("UNSUBSCRIBE without a Topic Filter", "MQTT-3.10.3-2")
        self._read_topic_filters(filters_max, stop)
        if self._pos < size:
            return None
        return Unsubscribe(self._packet_id, self._topic_filters, self._properties)

    def _read_subscriptions(self, filters_max: int, stop: int) -> None:
        payload = self._payload
        pos = self._pos
        version = self._version
        while pos < stop and filters_max > 0:
            filters_max -= 1
            topic_filter, pos = decode_string(payload, pos)
            check_topic_filter(topic_filter)
            if pos >= len(payload):
                raise MalformedPacket("SUBSCRIBE cut off before its options", "§3.8.3")
            self._subscriptions.append(_subscription(version, topic_filter, payload[pos]))
            pos += 1
        self._pos = pos

    def _read_topic_filters(self, filters_max: int, stop: int) -> None:
        payload = self._payload
        pos = self._pos
        while pos < stop and filters_max > 0:
            filters_max -= 1
            topic_filter, pos = decode_string(payload, pos)
            check_topic_filter(topic_filter)
            self._topic_filters.append(topic_filter)
        self._pos = pos


def _subscription(version: int, topic_filter: str, options: int) -> Subscription:
    if version < V5:
        if options > 2:
            raise MalformedPacket(f"SUBSCRIBE with options 0x{options:02x}, allowed 0 to 2", "v3.1.1 MQTT-3-8.3-4")
        return Subscription(topic_filter, options)
    if options & 3 == 3:
        raise ProtocolError("SUBSCRIBE with QoS 3, allowed 0, 1, 2", "§3.8.3.1")
    if options & 0xC0:
        raise MalformedPacket(f"SUBSCRIBE with reserved options 0x{options:02x}", "MQTT-3.8.3-5")
    if options & 0x30 == 0x30:
        raise ProtocolError("SUBSCRIBE with Retain Handling 3, allowed 0, 1, 2", "§3.8.3.1")
    if options & 4 and parse_shared(topic_filter) is not None:
        raise ProtocolError("SUBSCRIBE with No Local on a Shared Subscription", "MQTT-3.8.3-4")
    return Subscription(topic_filter, options & 3, options & 4 == 4, options & 8 == 8, options >> 4 & 3)
