"""What a scenario knows of a client: open, publish, wait for a message, leave. A driver makes each library look so."""

import queue
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.conformance.broker_process import READY_S

WAIT_S = READY_S + 10  # some scenarios publish over a restart of the broker, which a busy machine takes long for
EXPIRY_S = 3600  # of a session that is kept, in 5.0
KEEP_ALIVE_S = 30


@dataclass
class Message:
    """What reached the application behind a client."""

    topic_name: str
    payload: bytes
    qos: int
    retain: bool


@dataclass
class Opening:
    """How one client connects."""

    version: str  # "3.1", "3.1.1" or "5.0"
    client_id: str
    port: int
    scheme: str = "tcp"
    certificates: Path | None = None  # a folder with ca.crt, client.crt and client.key, for tls
    is_kept: bool = False  # the session outlives the connection
    is_returning: bool = False  # the library itself connects again when the connection is lost
    will: Message | None = None


class Client(Protocol):
    """One client. Everything waits until the broker has answered, WAIT_S at most."""

    def open(self, topic_filter: str = "", qos: int = 0) -> bool | None:
        """Connect, and subscribe where a filter is given; Session Present, None where the library does not tell."""

    def publish(self, topic_name: str, payload: bytes, qos: int, retain: bool = False) -> None:
        """Publish, and wait for what the QoS has as the last acknowledgement."""

    def next_message(self) -> Message:
        """The next message, in order of arrival."""

    def disconnect(self) -> None:
        """Leave in order."""

    def cut(self) -> None:
        """End the connection without DISCONNECT."""

    def close(self) -> None:
        """Free what is left of the client, connected or not."""


class Driver(Protocol):
    """One library or program. It is made once a run."""

    name: str
    lacks: Mapping[tuple[str, str], str]
    """(version, scenario) → why it cannot; "" stands for any."""
    leaves_with_will: tuple[str, ...]
    """Versions in which it disconnects with Reason Code 0x04, which asks for the Will."""

    def client(self, opening: Opening) -> Client:
        """A client that is not connected yet."""

    def close(self) -> None:
        """Free what its clients share."""


@dataclass
class Inbox:
    """Messages that arrived on some other thread."""

    messages: "queue.SimpleQueue[Message]" = field(default_factory=queue.SimpleQueue)

    def put(self, message: Message) -> None:
        """From the library's thread."""
        self.messages.put(message)

    def next(self) -> Message:
        """For the scenario."""
        try:
            return self.messages.get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError(f"no message within {WAIT_S} s") from None


def reason_lacking(driver: Driver, version: str, scenario: str) -> str:
    """Why this cell of the matrix cannot be, "" where it can."""
    for key in ((version, scenario), (version, ""), ("", scenario)):
        if key in driver.lacks:
            return driver.lacks[key]
    return ""
