"""`quantum publish`: one message from the command line, or many from stdin; ends when the broker has acknowledged all."""

import os
from collections import deque
from pathlib import Path
from typing import Any, Final

import click

from quantum.cli.address import looks_like_address
from quantum.cli.connection import BrokerConnection, ConnectionLost, ConnectionRefused, explanation
from quantum.cli.message_json import OutgoingMessage, decode_message
from quantum.cli.options import ConnectOptions, connect_options, log
from quantum.core.mqtt.client import NO_CREDIT, PACKET_TOO_LARGE
from quantum.core.mqtt.errors import MqttError
from quantum.core.mqtt.packets import Packet, Puback, Publish, Pubrec
from quantum.core.mqtt.properties import CONTENT_TYPE, RESPONSE_TOPIC, USER_PROPERTY, Properties, decode_forwarded
from quantum.core.mqtt.reason_codes import reason_name

POLL_S: Final = 1.0
STDIN: Final = 0
READ_BYTES: Final = 65536
WAITING_MAX: Final = 1000  # messages read from stdin and not sent yet
ESCAPES: Final = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "0x1f": "\x1f", "\\x1f": "\x1f", "\\0": "\0"}


class LineReader:
    """Lines of a descriptor that is read only when it has something."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.is_ended = False

    def read(self) -> list[bytes]:
        """Whole lines without their ends; the last one needs no end."""
        data = os.read(self._descriptor, READ_BYTES)
        if not data:
            self.is_ended = True
            last, self._rest = self._rest, b""
            return [last] if last else []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.removesuffix(b"\r") for line in lines]


class LineParser:
    """What a line of stdin means. Lines that mean nothing are told and skipped."""

    def __init__(self, template: OutgoingMessage, delimiter: str | None, is_json: bool) -> None:
        self._template = template
        self._delimiter = delimiter
        self._is_json = is_json
        self._number = 0
        self.skipped = 0

    def parse(self, line: bytes) -> OutgoingMessage | None:
        """The message of a line, None for one that is skipped."""
        self._number += 1
        try:
            return self._parse(line)
        except (ValueError, TypeError) as error:
            self.skipped += 1
            log(f"line {self._number} skipped: {error}")
            return None

    def _parse(self, line: bytes) -> OutgoingMessage:
        template = self._template
        if self._is_json:
            message = decode_message(line.decode(), template.topic_name or None, template.qos, template.retain)
            message.properties = {**template.properties, **message.properties}
            return message
        topic, payload = template.topic_name, line
        if self._delimiter is not None:
            head, found, payload = line.partition(self._delimiter.encode())
            if not found or not head:
                raise ValueError(f"no {self._delimiter!r} between topic and payload")
            topic = head.decode()
        return OutgoingMessage(
            topic, payload, template.qos, template.retain, template.properties, template.message_expiry_s
        )


class Publisher:
    """Sends what waits, as far as the broker gives credit, and counts the answers."""

    def __init__(self, connection: BrokerConnection, patience_s: float) -> None:
        self._connection = connection
        self._patience_s = patience_s
        self._waiting: deque[OutgoingMessage] = deque()
        self.accepted = 0
        self.refused = 0

    def run(self, reader: LineReader | None, parser: LineParser, first: list[OutgoingMessage]) -> None:
        """Until stdin has ended and everything is answered. Raises: ConnectionRefused."""
        connection = self._connection
        self._waiting.extend(first)
        connection.open(self._patience_s)
        while True:
            is_reading = reader is not None and not reader.is_ended
            try:
                self._send()
                if not is_reading and not self._waiting and not self._is_owed():
                    connection.poll(0)  # what is still unsent goes out
                    return
                wants_line = is_reading and len(self._waiting) < WAITING_MAX
                packets, has_line = connection.poll(POLL_S, STDIN if wants_line else None)
                for packet in packets:
                    self._on_packet(packet)
                if has_line and reader is not None:
                    parsed = [parser.parse(line) for line in reader.read()]
                    self._waiting.extend(message for message in parsed if message is not None)
            except ConnectionLost as error:
                log(f"{error}; connecting again")
                connection.open(self._patience_s)
                self._send_again()

    def _is_owed(self) -> bool:
        session = self._connection.session
        return bool(session.published or session.released)

    def _send(self) -> None:
        mqtt = self._connection.mqtt
        while self._waiting:
            message = self._waiting[0]
            try:
                sent = mqtt.publish(
                    message.topic_name,
                    message.payload,
                    message.qos,
                    retain=message.retain,
                    properties=message.encoded_properties() if mqtt.version == 5 else b"",
                    message_expiry_s=message.message_expiry_s,
                )
            except MqttError as error:
                self._refuse(f"{message.topic_name}: {error}")
                self._waiting.popleft()
                continue
            if sent == NO_CREDIT:
                return
            self._waiting.popleft()
            if sent == PACKET_TOO_LARGE:
                allowed = mqtt.peer_packet_bytes_max
                self._refuse(
                    f"{message.topic_name}: {len(message.payload)} bytes, the broker takes packets of {allowed}"
                )
            elif message.qos == 0:
                self.accepted += 1

    def _send_again(self) -> None:
        """The broker forgot the session: what it did not answer is sent as new, oldest first."""
        forgotten = self._connection.forgotten
        again = [_outgoing(packet) for packet in forgotten]
        forgotten.clear()
        self._waiting.extendleft(reversed(again))

    def _on_packet(self, packet: Packet) -> None:
        if isinstance(packet, Puback | Pubrec):
            if packet.reason_code >= 0x80:
                self._refuse(f"{reason_name(packet.reason_code)}{explanation(packet.properties)}")
            else:
                self.accepted += 1

    def _refuse(self, text: str) -> None:
        self.refused += 1
        log(f"not published: {text}")


def _outgoing(packet: Publish) -> OutgoingMessage:
    properties = decode_forwarded(packet.properties)
    return OutgoingMessage(
        packet.topic_name, packet.payload, packet.qos, packet.retain, properties, packet.message_expiry_s
    )


@click.command()
@click.argument("topic_argument", metavar="[TOPIC]", required=False)
@click.argument("message_argument", metavar="[MESSAGE]", required=False)
@click.option("--topic", "-t")
@click.option("--message", "-m", help="The payload; without it, and without --file, lines are read from stdin.")
@click.option("--file", "-f", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--delimiter", help="Lines are TOPIC DELIMITER PAYLOAD; \\t, \\0 and 0x1f are understood.")
@click.option("--format", "input_", type=click.Choice(["raw", "json"]), default="raw", help="Of the lines of stdin.")
@click.option("--qos", "-q", type=click.Choice(["0", "1", "2"]), default="1", show_default=True)
@click.option("--retain", "-r", is_flag=True)
@click.option("--message-expiry", type=click.IntRange(0, 0xFFFFFFFF), metavar="SECONDS", help="v5.")
@click.option("--content-type", help="v5.")
@click.option("--response-topic", help="v5.")
@click.option("--user-property", type=(str, str), multiple=True, help="NAME VALUE; repeatable. v5.")
@click.option(
    "--give-up", default=30.0, show_default=True, metavar="SECONDS", help="Stop trying to connect; 0 for never."
)
@connect_options
def publish(
    topic_argument: str | None,
    message_argument: str | None,
    topic: str | None,
    message: str | None,
    file: Path | None,
    delimiter: str | None,
    input_: str,
    qos: str,
    retain: bool,
    message_expiry: int | None,
    content_type: str | None,
    response_topic: str | None,
    user_property: tuple[tuple[str, str], ...],
    give_up: float,
    **connect: Any,
) -> None:
    """Publish MESSAGE to TOPIC, or every line of stdin; returns when the broker has acknowledged all of it."""
    if topic_argument is not None and looks_like_address(topic_argument):
        raise click.UsageError(
            f"TOPIC {topic_argument}: the address of a broker; write --url {topic_argument}, or --topic if it is a topic"
        )
    topic = topic or topic_argument or ""
    text = message if message is not None else message_argument
    identity = ConnectOptions(**connect).identity("quantum-pub")
    if not topic and delimiter is None and input_ == "raw":
        raise click.UsageError("no topic: quantum publish TOPIC MESSAGE, or --delimiter, or --format json")
    properties: Properties = {}
    if content_type is not None:
        properties[CONTENT_TYPE] = content_type
    if response_topic is not None:
        properties[RESPONSE_TOPIC] = response_topic
    if user_property:
        properties[USER_PROPERTY] = list(user_property)
    if (properties or message_expiry is not None) and identity.version != 5:
        raise click.UsageError("properties need --v 5")
    template = OutgoingMessage(
        topic, b"", int(qos), retain, properties, -1 if message_expiry is None else message_expiry
    )
    first = []
    if text is not None or file is not None:
        template.payload = text.encode() if text is not None else file.read_bytes() if file is not None else b""
        first = [template]
    parser = LineParser(template, None if delimiter is None else ESCAPES.get(delimiter, delimiter), input_ == "json")
    connection = BrokerConnection(identity, log)
    publisher = Publisher(connection, give_up)
    try:
        publisher.run(None if first else LineReader(STDIN), parser, first)
    except ConnectionRefused as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        connection.close()
        raise
    connection.close()
    if not first or publisher.refused:
        log(f"{publisher.accepted} published, {publisher.refused} refused, {parser.skipped} lines skipped")
    if publisher.refused:
        raise SystemExit(1)
