"""What is raised when the peer broke the protocol, and nothing else.

Each error names the rule that was broken: a normative statement ("MQTT-3.3.1-4") or, where the standard numbers none, a
section ("§3.1.2.11.10"), of MQTT 5.0 unless it says otherwise. Source: MQTT 5.0 §4.13.
"""

from typing import Final, final

MALFORMED: Final = 0x81
PROTOCOL: Final = 0x82
UNSUPPORTED_VERSION: Final = 0x84
NAME_SHOWN_MAX: Final = 32  # characters of what a client calls its protocol, so that a text fits a Reason String


class MqttError(Exception):
    """The peer broke the protocol; the connection cannot go on."""

    def __init__(self, text: str, statement: str, reason_code: int) -> None:
        super().__init__(text, statement, reason_code)
        self.text = text
        self.statement = statement
        self.reason_code = reason_code

    def __str__(self) -> str:
        return f"{self.text} [{self.statement}]"


class MalformedPacket(MqttError):
    """Bytes that cannot be parsed according to the standard."""

    def __init__(self, text: str, statement: str, reason_code: int = MALFORMED) -> None:
        super().__init__(text, statement, reason_code)


class ProtocolError(MqttError):
    """A packet that can be parsed, and holds or does what the standard does not allow."""

    def __init__(self, text: str, statement: str, reason_code: int = PROTOCOL) -> None:
        super().__init__(text, statement, reason_code)


@final
class UnsupportedProtocol(ProtocolError):
    """A CONNECT of a protocol that is not spoken here; `level` is what it asked for, so the answer can fit it."""

    def __init__(self, protocol_name: str, level: int) -> None:
        super().__init__(
            f"protocol {protocol_name[:NAME_SHOWN_MAX]!r} level {level}, allowed 'MQIsdp' 3, 'MQTT' 4, 'MQTT' 5",
            "MQTT-3.1.2-2",
            UNSUPPORTED_VERSION,
        )
        self.protocol_name = protocol_name
        self.level = level
