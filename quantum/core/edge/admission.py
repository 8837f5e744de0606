"""May this CONNECT open its session? From the packet to an OpenSession or a cause, and from its result to the CONNACK.

Source: MQTT 5.0 §3.1 and §3.2, MQTT 3.1.1 §3.1 and §3.2.
"""

from typing import Final, final

from quantum.core.broker.commands import NEVER_S, OpenSession
from quantum.core.causes import (
    BAD_AUTHENTICATION_METHOD,
    CLIENT_ID_NOT_VALID,
    NOT_AUTHORIZED,
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    SERVER_MOVED,
    TOPIC_LEVELS_MAX,
    TOPIC_NAME_INVALID,
    USE_ANOTHER_SERVER,
    Cause,
)
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.connections import EdgeConnection
from quantum.core.mqtt.connection import PACKET_BYTES_LIMIT
from quantum.core.mqtt.packets import V5, V31, Connack, Connect
from quantum.core.mqtt.properties import (
    ASSIGNED_CLIENT_IDENTIFIER,
    AUTHENTICATION_DATA,
    AUTHENTICATION_METHOD,
    MAXIMUM_PACKET_SIZE,
    MAXIMUM_QOS,
    REASON_STRING,
    RECEIVE_MAXIMUM,
    RESPONSE_INFORMATION,
    RETAIN_AVAILABLE,
    SERVER_KEEP_ALIVE,
    SERVER_REFERENCE,
    SESSION_EXPIRY_INTERVAL,
    SHARED_SUBSCRIPTION_AVAILABLE,
    TOPIC_ALIAS_MAXIMUM,
    WILDCARD_SUBSCRIPTION_AVAILABLE,
    Properties,
)
from quantum.core.mqtt.reason_codes import RETURN_NONE, return_code_of
from quantum.core.mqtt.wire import STRING_BYTES_MAX
from quantum.core.prng import Prng

V31_CLIENT_ID_MAX: Final = 23  # v3.1 §3.1: characters; longer ones are accepted, as every server does


@final
class Admission:
    """The checks of a CONNECT, in the order in which the text lists its fields."""

    __slots__ = ("_config", "_prng")

    def __init__(self, config: EdgeConfig, prng: Prng) -> None:
        self._config = config
        self._prng = prng

    def refusal(self, connection: EdgeConnection, packet: Connect) -> Cause | None:
        """Why the CONNECT is refused; None when it may go on."""
        config = self._config
        if config.is_moved:
            return SERVER_MOVED
        if not packet.client_id:
            if not config.allow_empty_client_id or packet.protocol_version == V31:
                return CLIENT_ID_NOT_VALID
            if not packet.clean_start and packet.protocol_version < V5:
                return CLIENT_ID_NOT_VALID  # v3.1.1 [MQTT-3.1.3-8]
        will = packet.will
        if will is not None:
            if will.qos > config.qos_max:
                return QOS_NOT_SUPPORTED  # [MQTT-3.2.2-12]
            if will.retain and not config.retain_available:
                return RETAIN_NOT_SUPPORTED  # [MQTT-3.2.2-13]
            cause = name_refusal(will.topic_name, config.topic_levels_max)
            if cause is not None:
                return cause
        if AUTHENTICATION_METHOD in packet.properties:
            method = packet.properties[AUTHENTICATION_METHOD]
            if not isinstance(method, str) or method not in config.mechanisms:
                return BAD_AUTHENTICATION_METHOD
        elif not config.allow_anonymous and not connection.identity:
            is_claimed = packet.username is not None or packet.password is not None
            if config.users is None or not is_claimed:
                return NOT_AUTHORIZED
        return None

    def open_command(self, connection: EdgeConnection, packet: Connect) -> OpenSession:
        """What the log is asked for; fixes the connection's Client Identifier, Keep Alive and expiry."""
        connection.client_id = packet.client_id or self._prng.bytes(12).hex()
        keep_alive_s = packet.keep_alive_s
        if packet.protocol_version == V5:
            keep_alive_s = self._keep_alive_s(packet)
        connection.keep_alive_ms = keep_alive_s * 1500  # [MQTT-3.1.2-22] one and a half times
        connection.session_expiry_s = self._expiry_s(packet)
        return OpenSession(
            connection.client_id,
            packet.clean_start,
            connection.session_expiry_s,
            min(connection.wire.peer_receive_maximum, self._config.send_window_max),
            connection.conn_id,
            packet.will,
        )

    def _keep_alive_s(self, packet: Connect) -> int:
        most = self._config.keep_alive_s_max
        if most and (packet.keep_alive_s == 0 or packet.keep_alive_s > most):
            return most
        return packet.keep_alive_s

    def _expiry_s(self, packet: Connect) -> int:
        most = self._config.session_expiry_s_max
        if packet.protocol_version < V5:
            return 0 if packet.clean_start else most  # 3.1.2.11.2: CleanSession 0 is expiry NEVER_S
        value = packet.properties.get(SESSION_EXPIRY_INTERVAL, 0)
        assert isinstance(value, int)
        return value if value < most else most

    def accept(self, connection: EdgeConnection, packet: Connect, session_present: bool) -> Connack:
        """The CONNACK of an open session, with every limit the client must know. 3.2.2.3"""
        if not connection.wire.is_v5:
            present = session_present and packet.protocol_version != V31  # v3.1 has no such flag
            return Connack(present, 0)
        config = self._config
        properties: Properties = {}
        if connection.session_expiry_s != packet.properties.get(SESSION_EXPIRY_INTERVAL, 0):
            properties[SESSION_EXPIRY_INTERVAL] = connection.session_expiry_s
        if config.receive_maximum != 65535:
            properties[RECEIVE_MAXIMUM] = config.receive_maximum
        if config.qos_max < 2:
            properties[MAXIMUM_QOS] = config.qos_max  # [MQTT-3.2.2-9]
        if not config.retain_available:
            properties[RETAIN_AVAILABLE] = 0
        if config.packet_bytes_max < PACKET_BYTES_LIMIT:
            properties[MAXIMUM_PACKET_SIZE] = config.packet_bytes_max
        if not packet.client_id:
            properties[ASSIGNED_CLIENT_IDENTIFIER] = connection.client_id  # [MQTT-3.2.2-16]
        if config.topic_alias_maximum:
            properties[TOPIC_ALIAS_MAXIMUM] = config.topic_alias_maximum
        if not config.wildcard_available:
            properties[WILDCARD_SUBSCRIPTION_AVAILABLE] = 0
        if not config.shared_available:
            properties[SHARED_SUBSCRIPTION_AVAILABLE] = 0
        keep_alive_s = self._keep_alive_s(packet)
        if keep_alive_s != packet.keep_alive_s:
            properties[SERVER_KEEP_ALIVE] = keep_alive_s  # [MQTT-3.1.2-21]
        method = packet.properties.get(AUTHENTICATION_METHOD)
        if method is not None:
            properties[AUTHENTICATION_METHOD] = method  # [MQTT-4.12.0-5]
            if connection.authentication_data:
                properties[AUTHENTICATION_DATA] = connection.authentication_data
        if config.response_information and connection.wire.wants_response_information:
            information = config.response_information.replace("{client_id}", connection.client_id)
            if len(information.encode()) <= STRING_BYTES_MAX:
                properties[RESPONSE_INFORMATION] = information  # [MQTT-3.1.2-28]
        return Connack(session_present, 0, properties)


def refuse(connection: EdgeConnection, cause: Cause, detail: str, server_reference: str = "") -> None:
    """Answer a CONNECT with a CONNACK that says why. [MQTT-3.2.2-6] [MQTT-3.1.4-5]"""
    wire = connection.wire
    if wire.is_v5:
        properties: Properties = {REASON_STRING: f"{cause.id}: {detail}"}
        if cause is USE_ANOTHER_SERVER or cause is SERVER_MOVED:
            properties[SERVER_REFERENCE] = server_reference  # 3.2.2.3.16
        wire.send(Connack(False, cause.reason_code, properties))
        return
    code = return_code_of(cause.reason_code)
    if code != RETURN_NONE:
        wire.send(Connack(False, code))  # v3.1.1 [MQTT-3.2.2-5] [MQTT-3.2.2-6]


def name_refusal(topic_name: str, levels_max: int) -> Cause | None:
    """Why nothing may be published to a well formed name: `$SYS` is the server's own, and levels cost. 4.7.2"""
    if topic_name.count("/") >= levels_max:
        return TOPIC_LEVELS_MAX
    if topic_name[0] == "$" and (topic_name.startswith("$SYS/") or topic_name == "$SYS"):
        return TOPIC_NAME_INVALID
    return None


assert NEVER_S == 0xFFFFFFFF
