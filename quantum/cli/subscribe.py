"""`quantum subscribe`: messages to stdout, one a line; everything else to stderr.

A message is acknowledged after its line was written, so what the broker counts as delivered has left this process.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Final

import click

from quantum.cli.address import looks_like_address
from quantum.cli.connection import BrokerConnection, ConnectionLost, ConnectionRefused
from quantum.cli.message_json import encode_message
from quantum.cli.options import ConnectOptions, connect_options, log
from quantum.core.mqtt.errors import MqttError
from quantum.core.mqtt.packets import Packet, Publish, Suback, Subscription
from quantum.core.mqtt.reason_codes import reason_name

POLL_S: Final = 1.0


class Stopped(Exception):
    """The user wants the command to end."""


class Subscriber:
    """Takes messages until there are enough of them."""

    def __init__(
        self,
        connection: BrokerConnection,
        subscriptions: list[Subscription],
        write: Callable[[Publish], None],
        count: int,
    ) -> None:
        self._connection = connection
        self._subscriptions = subscriptions
        self._write = write
        self._left = count  # 0 for no end
        self._is_counting = count > 0
        self._is_subscribed = False

    def run(self, patience_s: float) -> None:
        """Raises: ConnectionRefused, Stopped."""
        connection = self._connection
        connection.open(patience_s)
        self._subscribe()
        while not self._is_counting or self._left:
            try:
                for packet in connection.poll(POLL_S)[0]:
                    self._on_packet(packet)
            except ConnectionLost as error:
                log(f"{error}; connecting again")
                connection.open(patience_s)
                if not connection.is_session_present:
                    self._subscribe()

    def _subscribe(self) -> None:
        try:
            self._connection.mqtt.subscribe(self._subscriptions)
        except MqttError as error:
            raise ConnectionRefused(f"cannot subscribe: {error}") from error

    def _on_packet(self, packet: Packet) -> None:
        if isinstance(packet, Suback):
            self._on_suback(packet)
        elif isinstance(packet, Publish):
            if self._is_counting and not self._left:
                return  # more came than was asked for: not acknowledged, so it stays with the broker
            self._write(packet)
            self._left -= 1
            if packet.qos:
                self._connection.mqtt.ack(packet.packet_id)

    def _on_suback(self, suback: Suback) -> None:
        for subscription, code in zip(self._subscriptions, suback.reason_codes, strict=True):
            if code >= 0x80:
                raise ConnectionRefused(f"the broker refused {subscription.topic_filter}: {reason_name(code)}")
            if code < subscription.qos:
                log(f"{subscription.topic_filter}: QoS {code} granted, {subscription.qos} asked for")
        if not self._is_subscribed:
            self._is_subscribed = True
            log("subscribed to " + ", ".join(item.topic_filter for item in self._subscriptions))


def _json_writer(packet: Publish) -> None:
    sys.stdout.write(encode_message(packet, datetime.now(UTC)) + "\n")
    sys.stdout.flush()


def _raw_writer(packet: Publish) -> None:
    sys.stdout.buffer.write(packet.payload + b"\n")
    sys.stdout.buffer.flush()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


@click.command()
@click.argument("topics", nargs=-1)
@click.option("--topic", "-t", multiple=True, help="A topic filter; repeatable, or comma separated.")
@click.option("--qos", "-q", type=click.Choice(["0", "1", "2"]), default="1", show_default=True)
@click.option("--format", "output", type=click.Choice(["json", "raw"]), default="json", show_default=True)
@click.option("--count", "-c", type=click.IntRange(0), default=0, help="End after this many messages; 0 for never.")
@click.option("--no-local", is_flag=True, help="Not what this client published itself (v5).")
@click.option("--retain-as-published", is_flag=True, help="Keep the RETAIN flag as it was published (v5).")
@click.option(
    "--retain-handling", type=click.IntRange(0, 2), default=0, help="0 send retained, 1 if new, 2 never (v5)."
)
@click.option("--give-up", default=0.0, metavar="SECONDS", help="Stop trying to connect after this long; 0 for never.")
@connect_options
def subscribe(
    topics: tuple[str, ...],
    topic: tuple[str, ...],
    qos: str,
    output: str,
    count: int,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: int,
    give_up: float,
    **connect: Any,
) -> None:
    """Subscribe to TOPICS and print messages, one JSON object a line."""
    if url := next((word for word in topics if looks_like_address(word)), None):
        raise click.UsageError(f"TOPIC {url}: the address of a broker; write --url {url}, or --topic if it is a topic")
    filters = [item for word in (*topics, *topic) for item in word.split(",") if item]
    if not filters:
        raise click.UsageError("no topic: quantum subscribe 'sensors/#'")
    connection = BrokerConnection(ConnectOptions(**connect).identity("quantum-sub"), log)
    wanted = [
        Subscription(item, int(qos), no_local, retain_as_published, retain_handling) for item in dict.fromkeys(filters)
    ]
    signal.signal(signal.SIGTERM, _stop)
    try:
        Subscriber(connection, wanted, _json_writer if output == "json" else _raw_writer, count).run(give_up)
    except (Stopped, KeyboardInterrupt):
        log("stopped")
    except BrokenPipeError:
        connection.cut()
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads; nor does the flush at exit
        return
    except ConnectionRefused as error:
        raise click.ClickException(str(error)) from error
    connection.close()
