"""The picture of a run: one self-contained page, to be opened from a disk years later.

`page.html` is its frame and looks, `page.js` what it does; both are data here. The page shows what a History has and
nothing else. It never exceeds PAGE_BYTES_MAX: of a run with more events than fit, it shows what an engineer asks for
first, which is what led to the violation, then what happened to whole nodes, then the rest from the end backwards.
"""

import json
from importlib import resources
from typing import Any, Final

import quantum
from quantum.sim.history import (
    FAULT,
    KILL,
    KIND_NAMES,
    MEMBERSHIP,
    POWER,
    ROLE,
    ROLE_NAMES,
    SNAPSHOT,
    START,
    VIOLATION,
    WORLD_LANE,
    History,
    HistoryEvent,
    lane_name,
)
from quantum.sim.scenario import Outcome, Scenario

PAGE_BYTES_MAX: Final = 1_900_000
TEXT_CHARACTERS_MAX: Final = 300
_EVENT_BYTES: Final = 34  # a guess; halved chances until it fits
_WHOLE_NODES: Final = (KILL, POWER, START, ROLE, FAULT, VIOLATION, MEMBERSHIP, SNAPSHOT)


def page_of(scenario: Scenario, outcome: Outcome, history: History, again: str, title: str = "") -> str:
    """The page, as HTML; `again` is the command line that makes the run again."""
    frame = _asset("page.html")
    script = _asset("page.js")
    room = PAGE_BYTES_MAX - len(frame.encode()) - len(script.encode())
    count = room // _EVENT_BYTES
    while True:
        document = _document(scenario, outcome, history, _chosen(history.events, count))
        document["again"] = again
        document["title"] = title or f"Seed {scenario.seed}, {scenario.profile}"
        # In a script element only "</" could end it; "<" never stands in a number.
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
        if len(text.encode()) <= room:
            break
        count = min(count, len(document["number"])) * 4 // 5
    return frame.replace("@SCRIPT@", script).replace("@DATA@", text)


def _asset(name: str) -> str:
    return resources.files("quantum.sim").joinpath(name).read_text(encoding="utf-8")


def _chosen(events: list[HistoryEvent], count: int) -> list[HistoryEvent]:
    """At most so many, in order."""
    if len(events) <= count:
        return events
    kept: dict[int, None] = {}
    for event in _ancestors(events):
        if len(kept) < count // 2:
            kept[event.number] = None
    for event in reversed(events):
        if event.kind in _WHOLE_NODES and len(kept) < count * 3 // 4:
            kept[event.number] = None
    for event in reversed(events):
        if len(kept) >= count:
            break
        kept[event.number] = None
    return [event for event in events if event.number in kept]


def _ancestors(events: list[HistoryEvent]) -> list[HistoryEvent]:
    """The violation and all without which it would not be, nearest first."""
    if not events:
        return []
    first = events[0].number
    last = next((event for event in reversed(events) if event.kind == VIOLATION), events[-1])
    seen: dict[int, None] = {last.number: None}
    queue = [last]
    for event in queue:
        for cause in event.causes:
            if cause >= first and cause not in seen:
                seen[cause] = None
                queue.append(events[cause - first])
    return queue


def _document(scenario: Scenario, outcome: Outcome, history: History, events: list[HistoryEvent]) -> dict[str, Any]:
    """In columns, numbers and times as differences, each text once."""
    texts: dict[str, int] = {}
    lanes: dict[int, int] = {lane: at for at, lane in enumerate(_lanes(scenario, outcome, events))}
    columns: dict[str, list[Any]] = {
        name: [] for name in ("number", "time", "lane", "kind", "text", "causes", "a", "b")
    }
    number = time_us = 0
    for event in events:
        columns["number"].append(event.number - number)
        columns["time"].append(event.time_us - time_us)
        columns["lane"].append(lanes[event.lane])
        columns["kind"].append(event.kind)
        columns["text"].append(texts.setdefault(event.text[:TEXT_CHARACTERS_MAX], len(texts)))
        causes = [event.number - cause for cause in event.causes]
        columns["causes"].append(causes[0] if len(causes) == 1 else causes or 0)
        columns["a"].append(event.a)
        columns["b"].append(event.b)
        number, time_us = event.number, event.time_us
    ran = outcome.frozen or scenario
    return {
        "version": quantum.__version__,
        "seed": str(scenario.seed),
        "law": outcome.law,
        "holds": outcome.facts[0],
        "seen": outcome.facts[1],
        "at_us": outcome.at_us,
        "digest": outcome.digest,
        "faults": len(ran.faults or []) or sum(1 for event in events if event.kind == FAULT and event.a != 2),
        "total": len(history.events) + history.forgotten_count,
        "kinds": KIND_NAMES,
        "roles": ROLE_NAMES,
        "lanes": [[lane, lane_name(lane)] for lane in lanes],
        "texts": list(texts),
        **columns,
    }


def _lanes(scenario: Scenario, outcome: Outcome, events: list[HistoryEvent]) -> list[int]:
    """The world, then all nodes, then the clients that did something."""
    ran = outcome.frozen or scenario
    nodes = range(1, (ran.node_count or 0) + 1)
    return sorted({WORLD_LANE, *nodes, *(event.lane for event in events)})
