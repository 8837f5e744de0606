"""The configuration: every key with its default, unit and range, and where a value came from.

Precedence: flag, then environment (`QUANTUM_MQTT__QOS_MAX`), then file, then default. An error is one line that names the
source, the key, what was found and what is allowed.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

import quantum
from quantum.core.broker.commands import STRATEGY_NAMES, SetPolicy
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.identity import Mechanism
from quantum.core.edge.scram import SCRAM_SHA_256, Scram
from quantum.core.edge.users import UserFile, Users
from quantum.core.node.config import NodeConfig
from quantum.core.node.storage import Identity, StorageConfig

ENVIRONMENT_PREFIX: Final = "QUANTUM_"
# Variables with this prefix that are no keys.
_OTHER_VARIABLES: Final = ("QUANTUM_CONFIG", "QUANTUM_LOOP", "QUANTUM_COMPILE")
TEXT_BYTES_MAX: Final = 1024  # of a text that stands in packets, so that they stay below every client's maximum
Value = int | bool | str | list[str]


class ConfigError(Exception):
    """A configuration that cannot be used, in one line."""


@final
@dataclass(slots=True)
class Key:
    """One setting. Integers have a range, words have choices, lists and free texts have neither."""

    name: str
    default: Value
    text: str
    unit: str = ""
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()


_LISTEN: Final = ["tcp://127.0.0.1:1883", "tls://127.0.0.1:8883", "ws://127.0.0.1:8084", "wss://127.0.0.1:8085"]
_GIB: Final = 1 << 30

KEYS: Final[tuple[Key, ...]] = (
    Key("listeners.urls", _LISTEN, "where clients connect: tcp, tls, ws or wss://HOST:PORT; port 0 picks a free one"),
    Key("listeners.connections_max", 10_000, "open connections", "connections", 1, 1_000_000),
    Key("listeners.connect_timeout_ms", 10_000, "a connection without CONNECT is closed after it", "ms", 100, 600_000),
    Key("listeners.out_bytes_max", 1_048_576, "kept for a client that does not read", "bytes", 4096, _GIB),
    Key("http.bind", "127.0.0.1:9090", "management HTTP: /livez /readyz /metrics /why; empty for none"),
    Key("paths.data_dir", "data", "the node's data directory"),
    Key("tls.cert", "", "certificate chain, PEM; empty makes a development certificate in the data directory"),
    Key("tls.key", "", "its private key, PEM"),
    Key("tls.client_ca", "", "CA that client certificates must come from, PEM; empty uses the development CA"),
    Key("tls.reload_s", 5, "how often certificate files are looked at; 0 for SIGHUP only", "s", 0, 86_400),
    Key("mqtt.packet_bytes_max", 1_048_576, "largest Control Packet accepted", "bytes", 128, 134_217_728),
    Key("mqtt.keep_alive_s_max", 3600, "longest Keep Alive; 0 for any", "s", 0, 65_535),
    Key("mqtt.qos_max", 2, "highest QoS served", "QoS", 0, 2),
    Key("mqtt.retain_available", True, "whether messages may be retained"),
    Key("mqtt.wildcard_available", True, "whether filters may hold wildcards"),
    Key("mqtt.shared_available", True, "whether $share filters are served"),
    Key("mqtt.receive_maximum", 256, "unacknowledged QoS 1 and 2 messages from one client", "messages", 1, 65_535),
    Key("mqtt.topic_alias_maximum", 16, "topic aliases a client may set", "aliases", 0, 65_535),
    Key("mqtt.topic_levels_max", 128, "of a Topic Name or Topic Filter", "levels", 1, 65_535),
    Key("mqtt.session_expiry_s_max", 4_294_967_295, "longest expiry; 4294967295 never expires", "s", 0, 4_294_967_295),
    Key("mqtt.queue_messages_max", 100_000, "waiting for one session", "messages", 1, 100_000_000),
    Key("mqtt.queue_bytes_max", 67_108_864, "waiting for one session", "bytes", 1024, 64 * _GIB),
    Key("mqtt.subscriptions_max", 10_000, "of one session", "subscriptions", 1, 10_000_000),
    Key("mqtt.allow_empty_client_id", True, "whether the server assigns Client Identifiers"),
    Key("mqtt.allow_anonymous", True, "whether a connection needs neither client certificate nor user"),
    Key("mqtt.server_reference", "", "where clients are sent when this node is full or stops, such as HOST:PORT"),
    Key("mqtt.server_moved", False, "whether every client is sent to mqtt.server_reference for good"),
    Key("mqtt.response_information", "", "given to clients that ask; {client_id} stands for theirs; empty for none"),
    Key("mqtt.shared_strategy", "round_robin", "who gets a message of a shared group", choices=STRATEGY_NAMES),
    Key("mqtt.sys_interval_s", 10, "between two publications of the $SYS topics; 0 for none", "s", 0, 86_400),
    Key("auth.users_file", "", "user names and keys, made by `quantum password`; empty looks at no password"),
    Key("broker.sessions_max", 1_000_000, "sessions kept", "sessions", 1, 100_000_000),
    Key("broker.retained_messages_max", 1_000_000, "retained messages kept", "messages", 0, 100_000_000),
    Key("broker.retained_bytes_max", _GIB, "retained messages kept", "bytes", 0, 64 * _GIB),
    Key("edge.pending_bytes_max", 67_108_864, "waiting for the disk before clients are paused", "bytes", 65_536, _GIB),
    Key("node.turn_bytes_max", 4_194_304, "received bytes worked through in one turn", "bytes", 65_536, _GIB),
    Key("durability.mode", "strict", "strict acknowledges after fsync, relaxed before", choices=("strict", "relaxed")),
    Key("durability.segment_bytes", 67_108_864, "one log file, made full size ahead of need", "bytes", 65_536, 4 * _GIB),
    Key("durability.snapshot_log_bytes", 268_435_456, "log to replay at most, about", "bytes", 65_536, 64 * _GIB),
    Key("disk.backend", "helper", "who syncs the log: a process of its own or the loop", choices=("helper", "inline")),
    Key("log.level", "info", "least level of the event log on stderr", choices=("debug", "info", "warning", "error")),
)  # fmt: skip
_BY_NAME: Final = {key.name: key for key in KEYS}


@final
@dataclass(slots=True)
class Config:
    """A value for every key, checked, and where it came from."""

    values: dict[str, Value] = field(default_factory=lambda: {key.name: key.default for key in KEYS})
    sources: dict[str, str] = field(default_factory=dict)

    def number(self, name: str) -> int:
        value = self.values[name]
        assert isinstance(value, int)
        return value

    def flag(self, name: str) -> bool:
        value = self.values[name]
        assert isinstance(value, bool)
        return value

    def text(self, name: str) -> str:
        value = self.values[name]
        assert isinstance(value, str)
        return value

    def texts(self, name: str) -> list[str]:
        value = self.values[name]
        assert isinstance(value, list)
        return value

    def source(self, name: str) -> str:
        """Where the value came from, for messages."""
        return self.sources.get(name, "default")

    def set(self, source: str, name: str, value: object) -> None:
        """Take a value from a source. Raises: ConfigError."""
        key = _BY_NAME.get(name)
        if key is None:
            near = difflib.get_close_matches(name, _BY_NAME, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else "; see config/quantum.toml"
            raise ConfigError(f"{source}: unknown key {name}{hint}")
        self.values[name] = _checked(source, key, value)
        self.sources[name] = source


def load_config(
    file: str | None, environment: Mapping[str, str], settings: Sequence[str], flags: Mapping[str, Value]
) -> Config:
    """The configuration of a run: `settings` are KEY=VALUE of `--set`, `flags` are keys given by options of their own.

    Raises: ConfigError.
    """
    config = Config()
    file = file or environment.get("QUANTUM_CONFIG")
    if file:
        for name, value in _read_file(file):
            config.set(file, name, value)
    for variable, word in sorted(environment.items()):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in _OTHER_VARIABLES:
            name = variable[len(ENVIRONMENT_PREFIX) :].lower().replace("__", ".")
            config.set(f"environment {variable}", name, _parsed(name, word))
    for setting in settings:
        name, equals, word = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: no value, write KEY=VALUE")
        config.set("--set", name, _parsed(name, word))
    for name, given in flags.items():
        config.set("flag", name, given)
    segment, snapshot = config.number("durability.segment_bytes"), config.number("durability.snapshot_log_bytes")
    if snapshot < segment:
        where = config.source("durability.snapshot_log_bytes")
        raise ConfigError(
            f"{where}: durability.snapshot_log_bytes is {snapshot}, allowed durability.segment_bytes ({segment}) and up"
        )
    if config.flag("mqtt.server_moved") and not config.text("mqtt.server_reference"):
        where = config.source("mqtt.server_moved")
        raise ConfigError(f"{where}: mqtt.server_moved is true, allowed with mqtt.server_reference only")
    template = config.text("mqtt.response_information")
    if any(brace in template.replace("{client_id}", "") for brace in "{}"):
        where = config.source("mqtt.response_information")
        raise ConfigError(f"{where}: mqtt.response_information is {template!r}, allowed in braces {{client_id}} only")
    for name in ("mqtt.server_reference", "mqtt.response_information"):
        size = len(config.text(name).encode())
        if size > TEXT_BYTES_MAX:
            raise ConfigError(f"{config.source(name)}: {name} has {size} bytes, allowed {TEXT_BYTES_MAX}")
    return config


def _read_file(file: str) -> list[tuple[str, object]]:
    try:
        with open(file, "rb") as stream:
            tree = tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None
    rows: list[tuple[str, object]] = []
    for section, content in tree.items():
        if isinstance(content, dict):
            rows += [(f"{section}.{name}", value) for name, value in content.items()]
        else:
            rows.append((section, content))
    return rows


def _parsed(name: str, word: str) -> object:
    """A value that came as text, in the type of its key; what does not fit is left for the check to refuse."""
    key = _BY_NAME.get(name)
    if key is None:
        return word
    if isinstance(key.default, bool):
        return {"true": True, "false": False, "1": True, "0": False}.get(word.lower(), word)
    if isinstance(key.default, int):
        try:
            return int(word.replace("_", ""))
        except ValueError:
            return word
    if isinstance(key.default, list):
        return [part.strip() for part in word.split(",") if part.strip()]
    return word


def _checked(source: str, key: Key, value: object) -> Value:
    found = f"{source}: {key.name} is {str(value).lower() if isinstance(value, bool) else repr(value)}"
    if isinstance(key.default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{found}, allowed true and false")
        return value
    if isinstance(key.default, int):
        if not isinstance(value, int) or isinstance(value, bool) or not key.low <= value <= key.high:
            raise ConfigError(f"{found}, allowed {key.low} to {key.high} {key.unit}")
        return value
    if isinstance(key.default, list):
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{found}, allowed a list of texts")
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{found}, allowed a text")
    if key.choices and value not in key.choices:
        raise ConfigError(f"{found}, allowed {', '.join(key.choices)}")
    return value


def reference_toml() -> str:
    """The reference profile: every key with its default, unit and range."""
    lines = ["# Every key of Quantum with its default. Flags and environment variables win over this file.", ""]
    section = ""
    for key in KEYS:
        head, _, name = key.name.partition(".")
        if head != section:
            lines += ([""] if section else []) + [f"[{head}]"]
            section = head
        scale = (
            f" ({key.low} to {key.high} {key.unit})"
            if key.unit
            else f" ({', '.join(key.choices)})"
            if key.choices
            else ""
        )
        lines.append(f"# {key.text}{scale}")
        lines.append(f"{name} = {_toml(key.default)}")
    return "\n".join(lines) + "\n"


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def to_node_config(config: Config, identity: Identity, user_file: UserFile | None = None) -> NodeConfig:
    """What the node needs of it, and of the users file it names."""
    number, flag = config.number, config.flag
    users = None if user_file is None else Users(user_file)
    mechanisms: dict[str, Mechanism] = {} if users is None else {SCRAM_SHA_256: Scram(users)}
    edge = EdgeConfig(
        packet_bytes_max=number("mqtt.packet_bytes_max"),
        keep_alive_s_max=number("mqtt.keep_alive_s_max"),
        qos_max=number("mqtt.qos_max"),
        retain_available=flag("mqtt.retain_available"),
        wildcard_available=flag("mqtt.wildcard_available"),
        shared_available=flag("mqtt.shared_available"),
        receive_maximum=number("mqtt.receive_maximum"),
        topic_alias_maximum=number("mqtt.topic_alias_maximum"),
        topic_levels_max=number("mqtt.topic_levels_max"),
        session_expiry_s_max=number("mqtt.session_expiry_s_max"),
        queue_messages_max=number("mqtt.queue_messages_max"),
        queue_bytes_max=number("mqtt.queue_bytes_max"),
        allow_empty_client_id=flag("mqtt.allow_empty_client_id"),
        allow_anonymous=flag("mqtt.allow_anonymous"),
        connections_max=number("listeners.connections_max"),
        connect_timeout_ms=number("listeners.connect_timeout_ms"),
        out_bytes_max=number("listeners.out_bytes_max"),
        pending_bytes_max=number("edge.pending_bytes_max"),
        mechanisms=mechanisms,
        users=users,
        server_reference=config.text("mqtt.server_reference"),
        is_moved=flag("mqtt.server_moved"),
        response_information=config.text("mqtt.response_information"),
        sys_interval_s=number("mqtt.sys_interval_s"),
        server_version=quantum.__version__,
    )
    policy = SetPolicy(
        sessions_max=number("broker.sessions_max"),
        subscriptions_max=number("mqtt.subscriptions_max"),
        queue_messages_max=number("mqtt.queue_messages_max"),
        queue_bytes_max=number("mqtt.queue_bytes_max"),
        retained_messages_max=number("broker.retained_messages_max"),
        retained_bytes_max=number("broker.retained_bytes_max"),
        shared_strategy=STRATEGY_NAMES.index(config.text("mqtt.shared_strategy")),
    )
    storage = StorageConfig(
        segment_bytes=number("durability.segment_bytes"),
        snapshot_log_bytes=number("durability.snapshot_log_bytes"),
        is_relaxed=config.text("durability.mode") == "relaxed",
    )
    return NodeConfig(identity, edge, policy, storage, number("node.turn_bytes_max"))
