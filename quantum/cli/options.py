"""The options that `publish`, `subscribe` and `bench` share, and what they mean together."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from quantum.cli.address import address_of
from quantum.cli.connection import Identity
from quantum.cli.transport import Tls
from quantum.core.mqtt.packets import V5, Will

Command = TypeVar("Command", bound=Callable[..., Any])
VERSIONS: Final = {"3": 3, "3.1": 3, "4": 4, "3.1.1": 4, "5": 5, "5.0": 5}
NEVER_S: Final = 0xFFFFFFFF


@dataclass(slots=True)
class ConnectOptions:
    """What the command line says about a connection, as click gives it."""

    url: str | None
    host: str
    port: int | None
    tls: bool
    ca: str | None
    cert: str | None
    key: str | None
    insecure: bool
    version: str
    client_id: str | None
    username: str | None
    password: str | None
    clean: bool
    session_expiry: int | None
    keep_alive: int
    will_topic: str | None
    will_message: str
    will_qos: str
    will_retain: bool
    connect_property: tuple[tuple[str, str], ...]

    def identity(self, prefix: str) -> Identity:
        """Who connects where. Raises: click.UsageError."""
        if self.key and not self.cert:
            raise click.UsageError("--key without --cert: give both, or --cert alone for a file that holds both")
        if not self.clean and not self.client_id:
            raise click.UsageError("--no-clean without --client-id: a session is found again by its client id")
        address = address_of(self.url, self.host, self.port, self.tls or bool(self.ca or self.cert))
        version = VERSIONS[self.version]
        expiry_s = self.session_expiry
        if expiry_s is None:
            expiry_s = 0 if self.clean else NEVER_S
        if version != V5 and self.session_expiry is not None:
            raise click.UsageError("--session-expiry needs --v 5; older versions have --no-clean")
        return Identity(
            address,
            Tls(self.ca, self.cert, self.key, self.insecure),
            version,
            self.client_id or f"{prefix}-{secrets.token_hex(6)}",
            self.clean,
            expiry_s if version == V5 else 0,
            self.keep_alive,
            self.username,
            None if self.password is None else self.password.encode(),
            self._will(),
            list(self.connect_property),
        )

    def _will(self) -> Will | None:
        if self.will_topic is None:
            return None
        return Will(self.will_topic, self.will_message.encode(), int(self.will_qos), self.will_retain)


FILE: Final = click.Path(exists=True, dir_okay=False)
_OPTIONS: Final = (
    click.option(
        "--url", metavar="URL", help="tcp://, tls://, ws:// or wss://HOST:PORT; instead of --host and --port."
    ),
    click.option("--host", default="127.0.0.1", show_default=True),
    click.option("--port", type=click.IntRange(1, 65535), help="Default 1883, with TLS 8883."),
    click.option("--tls", is_flag=True, help="Encrypt; implied by --ca and --cert."),
    click.option("--ca", type=FILE, help="PEM of the CA to trust instead of the system's."),
    click.option("--cert", type=FILE, help="PEM of the client's certificate."),
    click.option("--key", type=FILE, help="PEM of the client's key."),
    click.option("--insecure", is_flag=True, help="Do not verify the broker's certificate."),
    click.option("--v", "version", type=click.Choice(list(VERSIONS)), default="5", help="MQTT version."),
    click.option("--client-id", help="Default: a random one."),
    click.option("--username"),
    click.option("--password", envvar="MQTT_PASSWORD", help="Or in MQTT_PASSWORD."),
    click.option("--clean/--no-clean", default=True, help="Begin a new session, or go on with the one of --client-id."),
    click.option("--session-expiry", type=click.IntRange(0, NEVER_S), metavar="SECONDS"),
    click.option("--keep-alive", type=click.IntRange(0, 65535), default=60, show_default=True, metavar="SECONDS"),
    click.option("--will-topic", help="Where the broker publishes when this client is cut off."),
    click.option("--will-message", default=""),
    click.option("--will-qos", type=click.Choice(["0", "1", "2"]), default="0"),
    click.option("--will-retain", is_flag=True),
    click.option("--connect-property", type=(str, str), multiple=True, help="A User Property of CONNECT."),
)


def connect_options(command: Command) -> Command:
    """Add the options of a connection; the command takes them as `**connect` and gives them to ConnectOptions."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def log(text: str) -> None:
    """One line about the run, on stderr."""
    click.echo(f"quantum: {text}", err=True)
