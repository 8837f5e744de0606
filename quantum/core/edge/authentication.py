"""Who says the client is who: the AUTH exchange between CONNECT and CONNACK, re-authentication, and plain passwords.

A password costs the thousands of hashes that its user's keys are made of, and there is one thread: checks wait in a
queue, and one turn does one or a few of them, so that a storm of logins delays logins and nothing else. Source: MQTT
5.0 §4.12, §3.1.3.5, §3.1.3.6.
"""

from collections import deque
from typing import Final, final

from quantum.core.causes import AUTHENTICATION_FAILED, Cause
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.connections import CLOSED, EdgeConnection
from quantum.core.edge.identity import CONTINUE, FAILURE
from quantum.core.mqtt.errors import ProtocolError
from quantum.core.mqtt.packets import Auth, Connect
from quantum.core.mqtt.properties import AUTHENTICATION_DATA, AUTHENTICATION_METHOD, Properties
from quantum.core.prng import Prng

CONTINUE_AUTHENTICATION: Final = 0x18
RE_AUTHENTICATE: Final = 0x19
NONCE_BYTES: Final = 18
CHECK_ITERATIONS: Final = 4096  # of key derivation in one turn, about 2 ms; one check is done whatever it costs


@final
class Authentication:
    """Runs the mechanisms of the configuration, which it knows by name only, and checks passwords."""

    __slots__ = ("_config", "_methods", "_prng", "_waiting")

    def __init__(self, config: EdgeConfig, prng: Prng) -> None:
        self._config = config
        self._prng = prng
        self._methods: dict[int, str] = {}  # conn_id → the method of its CONNECT, for connections that used one
        self._waiting: deque[tuple[EdgeConnection, Connect]] = deque()  # whose password is to be checked

    # -- mechanisms -----------------------------------------------------------------------------------------------

    def is_needed(self, packet: Connect) -> bool:
        """Whether the CONNECT names a method."""
        return AUTHENTICATION_METHOD in packet.properties

    def on_connect(self, connection: EdgeConnection, packet: Connect) -> Auth | Cause | None:
        """The first step: AUTH to send, a cause to refuse with, or None when the client is who it says."""
        method = packet.properties[AUTHENTICATION_METHOD]
        assert isinstance(method, str)
        self._methods[connection.conn_id] = method
        self._begin(connection, method)
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
            self._begin(connection, method)
        elif packet.reason_code != CONTINUE_AUTHENTICATION:
            raise ProtocolError(f"AUTH with reason 0x{packet.reason_code:02x}, allowed 0x18, 0x19", "MQTT-3.15.2-1")
        elif connection.exchange is None:
            raise ProtocolError("AUTH continues an exchange that was not begun", "§4.12.1")
        identity = connection.identity
        answer = self._step(connection, method, packet.properties)
        if isinstance(answer, Auth):
            return answer
        if answer is not None or connection.identity != identity:
            raise ProtocolError(
                "re-authentication failed", "MQTT-4.12.1-2", reason_code=AUTHENTICATION_FAILED.reason_code
            )
        properties: Properties = {AUTHENTICATION_METHOD: method}
        if connection.authentication_data:
            properties[AUTHENTICATION_DATA] = connection.authentication_data
        return Auth(0, properties)

    def forget(self, connection: EdgeConnection) -> None:
        """The connection is gone."""
        self._methods.pop(connection.conn_id, None)

    def _begin(self, connection: EdgeConnection, method: str) -> None:
        connection.exchange = self._config.mechanisms[method].begin(self._prng.bytes(NONCE_BYTES).hex())

    def _check_method(self, connection: EdgeConnection, packet: Auth) -> str:
        method = self._methods.get(connection.conn_id)
        if method is None:
            raise ProtocolError("AUTH without Authentication Method on CONNECT", "MQTT-4.12.0-7")
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
            return AUTHENTICATION_FAILED
        connection.identity = identity
        connection.authentication_data = reply
        return None

    # -- passwords ------------------------------------------------------------------------------------------------

    def is_password_needed(self, packet: Connect) -> bool:
        """Whether the CONNECT claims something that users' keys can prove; without a users file it claims nothing."""
        return self._config.users is not None and (packet.username is not None or packet.password is not None)

    def on_password(self, connection: EdgeConnection, packet: Connect) -> bool:
        """True when this very password was right before; if not, it waits for `check_passwords`."""
        users = self._config.users
        assert users is not None
        if users.is_proven(packet.username or "", packet.password or b""):
            connection.identity = packet.username or ""
            return True
        self._waiting.append((connection, packet))
        return False

    @property
    def has_waiting(self) -> bool:
        """Passwords are to be checked."""
        return len(self._waiting) > 0

    def check_passwords(self) -> list[tuple[EdgeConnection, Connect, bool]]:
        """Check what one turn may cost; who waited first, and whether the password was right."""
        users = self._config.users
        assert users is not None
        checked: list[tuple[EdgeConnection, Connect, bool]] = []
        budget = CHECK_ITERATIONS
        while self._waiting and budget > 0:
            connection, packet = self._waiting.popleft()
            if connection.state == CLOSED:
                continue
            name, password = packet.username or "", packet.password or b""
            if users.is_proven(name, password):
                is_right = True
            else:
                budget -= users.keys_of(name).iterations
                is_right = users.is_right(name, password)
            if is_right:
                connection.identity = name
            checked.append((connection, packet, is_right))
        return checked
