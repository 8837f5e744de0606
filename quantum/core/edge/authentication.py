"""The AUTH exchange between CONNECT and CONNACK, and re-authentication. Source: MQTT 5.0 §4.12."""

from typing import final

from quantum.core.causes import NOT_AUTHORIZED, Cause
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.connections import EdgeConnection
from quantum.core.edge.identity import CONTINUE, FAILURE
from quantum.core.mqtt.errors import ProtocolError
from quantum.core.mqtt.packets import Auth, Connect
from quantum.core.mqtt.properties import AUTHENTICATION_DATA, AUTHENTICATION_METHOD, Properties

CONTINUE_AUTHENTICATION = 0x18
RE_AUTHENTICATE = 0x19


@final
class Authentication:
    """Runs the mechanisms of the configuration; which there are is known by name only."""

    __slots__ = ("_config", "_methods")

    def __init__(self, config: EdgeConfig) -> None:
        self._config = config
        self._methods: dict[int, str] = {}  # conn_id → the method of its CONNECT, for connections that used one

    def is_needed(self, packet: Connect) -> bool:
        """Whether the CONNECT names a method."""
        return AUTHENTICATION_METHOD in packet.properties

    def on_connect(self, connection: EdgeConnection, packet: Connect) -> Auth | Cause | None:
        """The first step: AUTH to send, a cause to refuse with, or None when the client is who it says."""
        method = packet.properties[AUTHENTICATION_METHOD]
        assert isinstance(method, str)
        self._methods[connection.conn_id] = method
        connection.exchange = self._config.mechanisms[method].begin()
        return self._step(connection, method, packet.properties)

    def on_auth(self, connection: EdgeConnection, packet: Auth) -> Auth | Cause | None:
        """A further step. [MQTT-4.12.0-3]"""
        if packet.reason_code != CONTINUE_AUTHENTICATION:
            raise ProtocolError(f"AUTH with reason 0x{packet.reason_code:02x}, allowed 0x18", "MQTT-4.12.0-3")
        method = self._check_method(connection, packet)
        return self._step(connection, method, packet.properties)

    def on_reauthenticate(self, connection: EdgeConnection, packet: Auth) -> Auth:
        """AUTH on an open connection; the identity must stay what it was. 4.12.1"""
        method = self._check_method(connection, packet)
        if packet.reason_code == RE_AUTHENTICATE:
            connection.exchange = self._config.mechanisms[method].begin()
        elif connection.exchange is None:
            raise ProtocolError("AUTH continues an exchange that was not begun", "MQTT-4.12.1-1")
        identity = connection.identity
        answer = self._step(connection, method, packet.properties)
        if isinstance(answer, Auth):
            return answer
        if answer is not None or connection.identity != identity:
            raise ProtocolError("re-authentication failed", "MQTT-4.12.1-2", reason_code=0x87)
        return Auth(0, {AUTHENTICATION_METHOD: method})

    def forget(self, connection: EdgeConnection) -> None:
        """The connection is gone."""
        self._methods.pop(connection.conn_id, None)

    def _check_method(self, connection: EdgeConnection, packet: Auth) -> str:
        method = self._methods.get(connection.conn_id)
        if method is None:
            raise ProtocolError("AUTH without Authentication Method on CONNECT", "MQTT-4.12.0-6")
        if packet.properties.get(AUTHENTICATION_METHOD) != method:
            raise ProtocolError("AUTH with another Authentication Method than CONNECT", "MQTT-4.12.0-5")
        return method

    def _step(self, connection: EdgeConnection, method: str, properties: Properties) -> Auth | Cause | None:
        assert connection.exchange is not None
        data = properties.get(AUTHENTICATION_DATA, b"")
        assert isinstance(data, bytes)
        outcome, reply, identity = connection.exchange.step(data)
        if outcome == CONTINUE:
            return Auth(CONTINUE_AUTHENTICATION, {AUTHENTICATION_METHOD: method, AUTHENTICATION_DATA: reply})
        connection.exchange = None
        if outcome == FAILURE:
            return NOT_AUTHORIZED
        connection.identity = identity
        return None
