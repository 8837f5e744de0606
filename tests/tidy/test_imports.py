"""Goal: the rooms know only what ARCHITECTURE's table lets them know. Method: every import of every module, held
against one dict that is that table."""

import ast
import sys

import pytest

from tests.tidy.sources import Source, core, product

# Who may import whom. The longest key that a module's name begins with is its room; a room may import itself and what
# is listed, names being under quantum.core unless they begin with a dot. `*` is everything in core.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    ".io": ("*",),
    ".sim": ("*",),
    ".cli": ("*", ".io", ".sim"),
    "prng": (),
    "causes": (),
    "events": ("causes",),
    "state_machine": (),
    "flow": ("events", "causes"),
    "mqtt": (),
    "raft": ("prng",),
    "wal": ("raft.entry", "raft.membership", "raft.recovered", "raft.records"),
    "snapshot": ("wal.requests", "raft.membership", "state_machine"),
    "broker": (
        "state_machine",
        "events",
        "causes",
        "mqtt.packets",
        "mqtt.properties",
        "mqtt.reason_codes",
        "mqtt.topics",
    ),
    "control": ("state_machine", "events", "causes"),
    "group": ("raft", "wal", "snapshot", "state_machine", "prng"),
    "edge": (
        "mqtt",
        "broker.message",
        "broker.retained_run",
        "broker.commands",
        "broker.effects",
        "control",
        "flow",
        "prng",
        "events",
        "causes",
    ),
    "admin": (
        "broker.state",
        "control",
        "edge",
        "group",
        "node.inputs",
        "node.outputs",
        "node.storage",
        "flow",
        "events",
        "causes",
    ),
    "node": ("*",),
    "node.storage": ("wal", "snapshot", "group", "raft", "prng", "state_machine", "events", "causes", "node"),
}
NODE_NEVER = ("mqtt", "raft")  # node.py orders stages; it has no word of either language

STDLIB_IN_CORE = frozenset(
    "__future__ abc bisect binascii collections dataclasses enum functools hashlib heapq hmac itertools json math "
    "operator struct typing zlib".split()
)
THIRD_PARTY_IN_CORE = frozenset({"msgpack", "google_crc32c"})
SEALING = frozenset({"quantum.core.snapshot.seal", "quantum.core.wal.seal"})  # and cryptography in these two


def imports(source: Source) -> list[tuple[ast.AST, str]]:
    """Every module a source imports, and the names it takes out of a package, dotted."""
    found: list[tuple[ast.AST, str]] = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            found.extend((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert 0 == node.level, f"{source.at(node)}: a relative import; write the whole name"
            found.extend((node, f"{node.module}.{alias.name}") for alias in node.names)
    return found


def is_in(name: str, room: str) -> bool:
    """Whether `name` is the room or lies in it."""
    return name == room or name.startswith(room + ".")


def room_of(name: str) -> str:
    """The longest key of the table that `name` (without `quantum`) begins with, or nothing."""
    return max((room for room in MAY_IMPORT if is_in(name, room)), key=len, default="")


def short(name: str) -> str:
    """The name as the table writes it: without quantum.core, or with a leading dot."""
    if is_in(name, "quantum.core"):
        return name.removeprefix("quantum.core").removeprefix(".")
    return name.removeprefix("quantum")


def may_import(importer: str, imported: str) -> bool:
    """Whether the table allows it, for two names as the table writes them."""
    if importer == "":
        return imported == ""  # the packages themselves are front pages and import nothing
    room = room_of(importer)
    assert room, f"{importer} is in no room; the house has none for it (ARCHITECTURE, the house)"
    if importer == "node.node" and any(is_in(imported, never) for never in NODE_NEVER):
        return False
    allowed = (room, *MAY_IMPORT[room])
    return any(is_in(imported, word) or (word == "*" and not imported.startswith(".")) for word in allowed)


@pytest.mark.parametrize("source", product(), ids=lambda source: source.module)
def test_rooms_import_only_what_the_table_allows(source: Source) -> None:
    wrong = [
        f"{source.at(node)} imports {name}"
        for node, name in imports(source)
        if is_in(name, "quantum")
        and name != "quantum.__version__"
        and not may_import(short(source.module), short(name))
    ]
    assert [] == wrong


@pytest.mark.parametrize("source", core(), ids=lambda source: source.module)
def test_core_imports_only_the_allowed_outside(source: Source) -> None:
    wrong = []
    for node, name in imports(source):
        top = name.split(".")[0]
        is_sealed = top == "cryptography" and source.module in SEALING
        if top != "quantum" and top not in STDLIB_IN_CORE and top not in THIRD_PARTY_IN_CORE and not is_sealed:
            wrong.append(f"{source.at(node)} imports {name}; core may use {', '.join(sorted(STDLIB_IN_CORE))}")
    assert [] == wrong


def test_allow_list_names_modules_that_exist() -> None:
    assert set() == STDLIB_IN_CORE - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("importer", "imported", "is_allowed"),
    [
        ("raft.raft", "prng.Prng", True),
        ("raft.raft", "wal.frame", False),
        ("wal.writer", "raft.entry.Entry", True),
        ("wal.writer", "raft.raft.Raft", False),
        ("broker.state", "mqtt.packets.Publish", True),
        ("broker.state", "mqtt.connection", False),
        ("broker.state", "control.cache", False),
        ("edge.edge", "broker.state", False),
        ("edge.edge", "broker.commands.PublishMessage", True),
        ("node.router", "mqtt.packets", True),
        ("node.node", "mqtt.packets", False),
        ("node.storage", "broker.state", False),
        ("mqtt.decode", ".io.tls", False),
        (".io.runtime", ".sim.world", False),
        (".sim.world", ".io.reactor", False),
        (".cli.run", ".io.runtime", True),
        (".io.runtime", "node.node.Node", True),
        ("mqtt.packets", "mqttish.packets", False),
    ],
)
def test_the_rule_itself_tells_right_from_wrong(importer: str, imported: str, is_allowed: bool) -> None:
    assert is_allowed is may_import(importer, imported)
