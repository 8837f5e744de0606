"""A world of a few lines whose smallest failing schedule is known: it stands in for a simulator where shrinking, sweeping
and drawing are tested.

Law TOY-ACK breaks when an even client begins an operation while a partition that names node 2 stands, and node 2 was
killed before. So two faults and one operation are enough, and no fewer are. Law TOY-PAUSE breaks when a third pause
begins: a shrinker that accepts any violation would slip into it.
"""

import hashlib
import os
import time

from quantum.core.prng import Prng
from quantum.sim.history import (
    APPLY,
    CLIENT,
    COMMIT,
    DELIVER,
    DROP,
    DURABLE,
    FAULT,
    FSYNC_BEGIN,
    FSYNC_END,
    KILL,
    LEADER,
    NOTE,
    PACKET,
    ROLE,
    SEND,
    START,
    VIOLATION,
    History,
    client_lane,
)
from quantum.sim.scenario import FaultEvent, Outcome, Scenario, copy_scenario

KINDS = ("kill", "partition", "pause", "power-loss")
ACTS_BADLY = "QUANTUM_TOY"  # a word that says what goes wrong, for the tests of what a sweep does then
ACK = ("every acknowledged operation is applied", "client {} was answered at {} us and node 2 never applied it")
PAUSE = ("a run has at most two pauses", "a third one began at {1} us")


def run(scenario: Scenario, history: History | None = None) -> Outcome:
    """One run."""
    act_badly(scenario.seed)
    root = Prng(scenario.seed)
    config = root.stream("config")
    drawn_ms, drawn_clients = config.between(5_000, 20_000), config.between(4, 8)
    duration_ms = drawn_ms if scenario.duration_ms is None else scenario.duration_ms
    client_count = drawn_clients if scenario.client_count is None else scenario.client_count
    faults = draw_faults(root.stream("faults"), duration_ms) if scenario.faults is None else scenario.faults
    frozen = copy_scenario(
        scenario, node_count=scenario.node_count or 5, client_count=client_count, duration_ms=duration_ms, faults=faults
    )
    steps: list[tuple[int, int, int]] = [(fault.at_us, -1, at) for at, fault in enumerate(faults)]
    for client in range(client_count):
        prng = root.stream(f"client {client}")
        at_us = 0
        op = 0
        while (at_us := at_us + prng.between(50_000, 400_000)) < duration_ms * 1000:
            steps.append((at_us, client, op))
            op += 1
    return judge(frozen, sorted(steps), history)


def act_badly(seed: int) -> None:
    """As the environment says, for one seed."""
    word, _, number = os.environ.get(ACTS_BADLY, "").partition(" ")
    if number == str(seed):
        if word == "raise":
            raise KeyError("planted")
        if word == "die":
            os._exit(3)
        if word == "hang":
            while True:
                time.monotonic()


def draw_faults(prng: Prng, duration_ms: int) -> list[FaultEvent]:
    """A schedule."""
    faults = [
        FaultEvent(
            prng.below(duration_ms * 1000),
            KINDS[prng.below(len(KINDS))],
            prng.between(1_000, 3_000_000),
            tuple(sorted({prng.between(1, 5), prng.between(1, 5)})),
            {"shape": prng.below(5)},
        )
        for _ in range(prng.between(5, 40))
    ]
    return sorted(faults, key=lambda fault: fault.at_us)


def judge(scenario: Scenario, steps: list[tuple[int, int, int]], history: History | None) -> Outcome:
    """Carry out the steps up to the first violation."""
    faults = scenario.faults or []
    digest = hashlib.blake2b(digest_size=16)
    if os.environ.get(ACTS_BADLY) == "leak":
        digest.update(str(hash("leak")).encode())
        if history is not None:
            history.add(0, 0, NOTE, f"hash {hash('leak')}")
    counts = [0] * (scenario.client_count or 0)
    killed = 0
    pauses = 0
    cut_until_us = -1
    marks: dict[str, int] = {}
    done = 0
    for at_us, client, number in steps:
        law = ""
        if client < 0:
            fault = faults[number]
            digest.update(f"{at_us} {fault.kind} {fault.nodes}".encode())
            marks[fault.kind] = marks.get(fault.kind, 0) + 1
            if history is not None:
                history.add(at_us, 0, FAULT, fault.kind, a=1)
            if fault.kind in scenario.off:
                continue
            if 2 in fault.nodes and fault.kind == "kill":
                killed = killed or at_us + 1
            if 2 in fault.nodes and fault.kind == "partition" and (scenario.node_count or 0) > 1:
                cut_until_us = max(cut_until_us, at_us + fault.duration_us)
            pauses += fault.kind == "pause"
            law = "TOY-PAUSE" if fault.kind == "pause" and pauses == 3 else ""
        else:
            counts[client] = number + 1
            if client in scenario.clients_off or scenario.is_op_off(client, number):
                continue
            digest.update(f"{at_us} {client} {number}".encode())
            if client % 2 == 0 and killed and at_us <= cut_until_us:
                law = "TOY-ACK"
            if history is not None:
                tell(history, at_us, client, number, scenario.node_count or 1)
        done += 1
        if law:
            told = ACK if law == "TOY-ACK" else PAUSE
            facts = (told[0], told[1].format(client, at_us))
            if history is not None:
                history.add(at_us, 2, VIOLATION, f"{law}: {facts[0]}; {facts[1]}", (len(history.events),))
            return Outcome(
                law, facts, digest.hexdigest(), {"events": done, "simulated_ms": at_us // 1000}, marks, at_us,
                scenario, ("loss", "jitter", "kill", "partition"), tuple(counts), [f"{at_us} {law}"],
            )  # fmt: skip
    stats = {"events": done, "simulated_ms": scenario.duration_ms or 0}
    return Outcome("", ("", ""), digest.hexdigest(), stats, marks, op_counts=tuple(counts))


def tell(history: History, at_us: int, client: int, number: int, node_count: int) -> None:
    """What an operation could look like in a cluster: enough of everything for a page to draw."""
    lane = client_lane(client)
    leader = 1 + number // 7 % node_count
    call = history.add(at_us, lane, CLIENT, f"publishes {number}")
    packet = history.add(at_us, lane, PACKET, f"PUBLISH QoS 1 to t/{client}", (call,), number % 100 + 1, 0)
    taken = history.add(at_us + 300, leader, DELIVER, "PUBLISH", (packet,), lane)
    if number % 7 == 0 and client == 0:
        history.add(at_us + 300, leader, ROLE, f"leader of term {number // 7 + 1}", (), LEADER, number // 7 + 1)
    fsync = history.add(at_us + 400, leader, FSYNC_BEGIN, "writes batch", (taken,), number)
    sent = [
        history.add(at_us + 400, leader, SEND, "AppendEntries", (taken,), to)
        for to in range(1, node_count + 1)
        if to != leader
    ]
    synced = history.add(at_us + 2_400, leader, FSYNC_END, "batch is durable", (fsync,), number)
    history.add(at_us + 2_400, leader, DURABLE, f"durable {number}", (synced,), number)
    receivers = [to for to in range(1, node_count + 1) if to != leader]
    got = []
    for at, to in enumerate(receivers):
        if (number + to) % 5 == 0:
            history.add(at_us + 900, to, DROP, "AppendEntries", (sent[at],), leader)
        else:
            got.append(history.add(at_us + 900 + 200 * at, to, DELIVER, "AppendEntries", (sent[at],), leader))
        if (number + to) % 11 == 0:
            history.add(at_us + 1_900, to, DELIVER, "AppendEntries", (sent[at],), leader)
    commit = history.add(at_us + 2_500, leader, COMMIT, f"commit {number}", (synced, *got), number)
    applied = history.add(at_us + 2_600, leader, APPLY, f"apply {number}", (commit,), number)
    history.add(at_us + 2_900, lane, PACKET, "PUBACK", (applied,), number % 100 + 1, 1)
    if number % 20 == 9:
        history.add(at_us + 3_000, leader, KILL, "killed")
        history.add(at_us + 40_000, leader, START, "starts again", (), number)
