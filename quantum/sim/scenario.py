"""What is run, and what came of it: a scenario is everything a run depends on, an outcome everything it is judged by.

Every profile's module has one function `run(scenario, history=None) -> Outcome`. Same scenario, same digest: in any
process, with a history or without. What a scenario leaves open (None) is drawn from its seed; a run that broke a law
says in `Outcome.frozen` what was drawn, with nothing open, and running that breaks the same law with the same digest.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

LITE: Final = "lite"
STANDARD: Final = "standard"
SOAK: Final = "soak"
STORAGE: Final = "storage"
MQTT: Final = "mqtt"
POWER: Final = "power"
BEYOND: Final = "beyond"
FAILOVER: Final = "failover"
PROFILES: Final = (LITE, STANDARD, SOAK, STORAGE, MQTT, POWER, BEYOND, FAILOVER)

FORMAT: Final = 1  # of the file
NODES_MAX: Final = 7
CLIENTS_MAX: Final = 1000
DURATION_MS_MAX: Final = 24 * 3_600_000
TIME_US_MAX: Final = DURATION_MS_MAX * 1000
NUMBER_MAX: Final = 1 << 64
FAULTS_MAX: Final = 100_000
FILE_BYTES_MAX: Final = 32 << 20

_SCENARIO_KEYS: Final = (
    "format",
    "profile",
    "seed",
    "node_count",
    "client_count",
    "duration_ms",
    "faults",
    "off",
    "clients_off",
    "ops_off",
)
_FAULT_KEYS: Final = ("at_us", "kind", "duration_us", "nodes", "args")


class ScenarioWrong(ValueError):
    """A scenario file says what no run understands; the text is one line and names the key."""


@final
@dataclass(slots=True)
class FaultEvent:
    """One fault of a schedule: when, what, for how long, to whom.

    A fault that waits for a moment of the run (the next append of node 2) says so in its kind and args, never by a
    time that was right in one run only. A fault whose node is not there, or is not in a state to suffer it, does nothing.
    """

    at_us: int
    kind: str  # the world's word for it: "kill", "power-loss", "partition"
    duration_us: int = 0  # 0: at an instant
    nodes: tuple[int, ...] = ()  # voter identities, in an order that may mean something
    args: dict[str, int] = field(default_factory=dict)


@final
@dataclass(slots=True)
class Scenario:
    """Everything a run depends on, beside the program. None: drawn from the seed."""

    profile: str
    seed: int
    node_count: int | None = None
    client_count: int | None = None
    duration_ms: int | None = None  # of the phase with faults; healing and settling come after
    faults: list[FaultEvent] | None = None
    off: tuple[str, ...] = ()  # fault classes that do not happen; scheduled faults of them neither
    clients_off: tuple[int, ...] = ()  # numbers of clients that never act; all others act as if these were there
    ops_off: tuple[tuple[int, int, int], ...] = ()  # (client, first, last): operations it leaves out, from 0

    def is_op_off(self, client: int, op: int) -> bool:
        """The client leaves out this operation. Draw it all the same, so that the following ones stay what they were."""
        return any(client == number and first <= op <= last for number, first, last in self.ops_off)


@final
@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    law: str  # "" when clean
    facts: tuple[str, str]  # what holds, and what was seen and contradicts it
    digest: str  # of the whole trace, in hex
    stats: dict[str, int]  # "events" and "simulated_ms" always; sums over many runs mean something
    marks: dict[str, int]  # see marks.py
    at_us: int = 0  # when the law was broken
    frozen: Scenario | None = None  # of a run that broke a law: itself, with nothing left to be drawn
    classes: tuple[str, ...] = ()  # fault classes that were on; each may go to `Scenario.off`
    op_counts: tuple[int, ...] = ()  # operations drawn, left out or not, by client number
    tail: list[str] = field(default_factory=list)  # the last records of a run that broke a law
    samples: dict[str, list[int]] = field(default_factory=dict)  # by name and unit, for percentiles over many runs


def encode_scenario(scenario: Scenario) -> str:
    """The file: canonical JSON, one key a line and one fault a line, so that two schedules compare line by line."""
    document = _document(scenario)
    lines = [f'"{key}": {_compact(document[key])}' for key in _SCENARIO_KEYS if key != "faults"]
    if scenario.faults is None:
        lines.append('"faults": null')
    else:
        rows = ",\n ".join(_compact(fault) for fault in document["faults"])
        lines.append(f'"faults": [\n {rows}\n]' if rows else '"faults": []')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def scenario_digest(scenario: Scenario) -> str:
    """Equal for equal scenarios alone, on every machine."""
    return hashlib.blake2b(_compact(_document(scenario)).encode(), digest_size=16).hexdigest()


def decode_scenario(text: str) -> Scenario:
    """Parse a scenario file strictly. Raises: ScenarioWrong."""
    if len(text) > FILE_BYTES_MAX:
        raise ScenarioWrong(f"{len(text)} characters, allowed {FILE_BYTES_MAX}")
    try:
        document = json.loads(text, object_pairs_hook=_pairs)
    except json.JSONDecodeError as error:
        raise ScenarioWrong(f"not JSON: {error.msg.lower()} in line {error.lineno}, column {error.colno}") from None
    except ScenarioWrong:
        raise
    except (ValueError, RecursionError):  # numbers of thousands of digits, brackets without end
        raise ScenarioWrong("not a scenario: a number or a nesting beyond all bounds") from None
    entry = _object(document, "the file", _SCENARIO_KEYS, required=("format", "profile", "seed"))
    _number(entry, "format", "", FORMAT, FORMAT)
    profile = entry["profile"]
    if profile not in PROFILES:
        raise ScenarioWrong(f"profile is {_said(profile)}, allowed {', '.join(PROFILES)}")
    return Scenario(
        profile=profile,
        seed=_number(entry, "seed", "", 0, NUMBER_MAX),
        node_count=_number_or_none(entry, "node_count", 1, NODES_MAX),
        client_count=_number_or_none(entry, "client_count", 0, CLIENTS_MAX),
        duration_ms=_number_or_none(entry, "duration_ms", 0, DURATION_MS_MAX),
        faults=_faults(entry.get("faults")),
        off=tuple(_words(entry.get("off", []), "off")),
        clients_off=tuple(_numbers(entry.get("clients_off", []), "clients_off", CLIENTS_MAX)),
        ops_off=_op_ranges(entry.get("ops_off", [])),
    )


def copy_scenario(scenario: Scenario, **changes: Any) -> Scenario:
    """The same with other values in some fields; nothing mutable is shared."""
    other: Scenario = replace(scenario, **changes)
    if other.faults is not None:
        other.faults = [replace(fault, args=dict(fault.args)) for fault in other.faults]
    return other


def _document(scenario: Scenario) -> dict[str, Any]:
    faults = scenario.faults
    return {
        "format": FORMAT,
        "profile": scenario.profile,
        "seed": scenario.seed,
        "node_count": scenario.node_count,
        "client_count": scenario.client_count,
        "duration_ms": scenario.duration_ms,
        "faults": None if faults is None else [_fault_document(fault) for fault in faults],
        "off": list(scenario.off),
        "clients_off": list(scenario.clients_off),
        "ops_off": [list(item) for item in scenario.ops_off],
    }


def _fault_document(fault: FaultEvent) -> dict[str, Any]:
    document: dict[str, Any] = {"at_us": fault.at_us, "kind": fault.kind}
    if fault.duration_us:
        document["duration_us"] = fault.duration_us
    if fault.nodes:
        document["nodes"] = list(fault.nodes)
    if fault.args:
        document["args"] = {name: fault.args[name] for name in sorted(fault.args)}
    return document


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(", ", ": "))


# -- strict parsing -----------------------------------------------------------------------------------------------------


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise ScenarioWrong(f"key {_said(key)} comes twice")
        document[key] = value
    return document


def _object(value: Any, where: str, allowed: tuple[str, ...], required: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ScenarioWrong(f"{where} is {_said(value)}, allowed an object")
    for key in value:
        if key not in allowed:
            raise ScenarioWrong(f"{where} has the key {_said(key)}, allowed {', '.join(allowed)}")
    for key in required:
        if key not in value:
            raise ScenarioWrong(f"{where} has no key '{key}'")
    return value


def _integer(value: Any, where: str, low: int, high: int) -> int:
    # True is an int in Python and not in a file.
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        allowed = str(low) if low == high else f"a whole number from {low} to {high}"
        raise ScenarioWrong(f"{where} is {_said(value)}, allowed {allowed}")
    return value


def _number(document: dict[str, Any], key: str, prefix: str, low: int, high: int) -> int:
    return _integer(document[key], prefix + key, low, high)


def _number_or_none(document: dict[str, Any], key: str, low: int, high: int) -> int | None:
    return None if document.get(key) is None else _number(document, key, "", low, high)


def _list(value: Any, where: str, items_max: int = FAULTS_MAX) -> list[Any]:
    if not isinstance(value, list):
        raise ScenarioWrong(f"{where} is {_said(value)}, allowed a list")
    if len(value) > items_max:
        raise ScenarioWrong(f"{where} has {len(value)} items, allowed {items_max}")
    return value


def _words(value: Any, where: str) -> list[str]:
    words = _list(value, where)
    for at, word in enumerate(words):
        if not isinstance(word, str) or not word:
            raise ScenarioWrong(f"{where}[{at}] is {_said(word)}, allowed a word")
    return words


def _numbers(value: Any, where: str, high: int) -> list[int]:
    return [_integer(item, f"{where}[{at}]", 0, high) for at, item in enumerate(_list(value, where))]


def _op_ranges(value: Any) -> tuple[tuple[int, int, int], ...]:
    ranges: list[tuple[int, int, int]] = []
    for at, item in enumerate(_list(value, "ops_off")):
        numbers = _numbers(item, f"ops_off[{at}]", TIME_US_MAX)
        if len(numbers) != 3 or numbers[1] > numbers[2]:
            raise ScenarioWrong(f"ops_off[{at}] is {_said(item)}, allowed [client, first, last]")
        ranges.append((numbers[0], numbers[1], numbers[2]))
    return tuple(ranges)


def _faults(value: Any) -> list[FaultEvent] | None:
    if value is None:
        return None
    faults: list[FaultEvent] = []
    for at, item in enumerate(_list(value, "faults")):
        where = f"faults[{at}]"
        entry = _object(item, where, _FAULT_KEYS, required=("at_us", "kind"))
        kind = _words([entry["kind"]], f"{where}.kind")[0]
        args = entry.get("args", {})
        if not isinstance(args, dict):
            raise ScenarioWrong(f"{where}.args is {_said(args)}, allowed an object")
        for name, number in args.items():
            _integer(number, f"{where}.args.{name}", -NUMBER_MAX, NUMBER_MAX)
        faults.append(
            FaultEvent(
                at_us=_number(entry, "at_us", f"{where}.", 0, TIME_US_MAX),
                kind=kind,
                duration_us=_integer(entry.get("duration_us", 0), f"{where}.duration_us", 0, TIME_US_MAX),
                nodes=tuple(_numbers(entry.get("nodes", []), f"{where}.nodes", 1 << 32)),
                args=args,
            )
        )
    return faults


def _said(value: Any) -> str:
    """What the file says, short enough for one line."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
