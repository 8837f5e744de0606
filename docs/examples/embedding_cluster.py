"""Three members of `embedding_kv` in one process, whose network is a list and whose clock is a counter.

`python docs/examples/embedding_cluster.py page.html` lets a leader die and come back, and draws what happened.
"""

import sys
from pathlib import Path

import msgpack
from embedding_kv import VOTERS, Member

from quantum.sim.history import (
    APPLY,
    CLIENT,
    COMMIT,
    DELIVER,
    DURABLE,
    KILL,
    ROLE,
    ROLE_NAMES,
    SEND,
    START,
    History,
    client_lane,
)
from quantum.sim.page import page_of
from quantum.sim.scenario import LITE, Outcome, Scenario

TICK_MS = 10  # what a message takes


class Cluster:
    """The members that live, the disks of all, the messages under way, and the record of everything."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.disks: dict[int, dict[str, bytearray]] = {number: {} for number in VOTERS.voters}
        self.members: dict[int, Member] = {}
        self.under_way: list[tuple[int, int, bytes, int]] = []
        self.history = History()
        self.seen: dict[tuple[int, int], tuple[int, int]] = {}
        self.starts = 0

    def note(self, lane: int, kind: int, text: str, causes: tuple[int, ...] = (), a: int = 0, b: int = 0) -> int:
        return self.history.add(self.now_ms * 1000, lane, kind, text, causes, a, b)

    def start(self, number: int) -> None:
        self.starts += 1
        self.members[number] = Member(number, self.disks[number], self.starts, self.now_ms)
        self.note(number, START, f"start {self.starts}", a=self.starts)

    def kill(self, number: int) -> None:
        del self.members[number]
        self.note(number, KILL, "killed")

    def tick(self) -> None:
        self.now_ms += TICK_MS
        arriving, self.under_way = self.under_way, []
        heard: dict[int, list[int]] = {number: [] for number in self.members}
        for sender, to, data, sent in arriving:
            if to in self.members:
                heard[to].append(self.note(to, DELIVER, f"{len(data)} bytes", (sent,), sender))
                self.members[to].replica.on_message(sender, data)
        for number, member in self.members.items():
            for to, data in member.turn(self.now_ms):
                sent = self.note(number, SEND, f"{len(data)} bytes", tuple(heard[number]), to)
                self.under_way.append((number, to, data, sent))
            raft = member.replica.raft
            for kind, value, text in (
                (ROLE, (raft.role, raft.current_term), f"{ROLE_NAMES[raft.role]} of term {raft.current_term}"),
                (DURABLE, (raft.durable_index, 0), f"durable {raft.durable_index}"),
                (COMMIT, (raft.commit_index, 0), f"commit {raft.commit_index}"),
                (APPLY, (raft.applied_index, 0), f"apply {raft.applied_index}"),
            ):
                if self.seen.get((number, kind)) != value:
                    self.seen[number, kind] = value
                    self.note(number, kind, text, tuple(heard[number]), *value)

    def put(self, key: str, value: str) -> int:
        """Change the map. Returns the leader that took it, once a quorum has it on disk."""
        asked = self.note(client_lane(0), CLIENT, f"put {key} = {value}")
        while True:
            self.tick()
            leaders = [number for number, member in self.members.items() if member.replica.is_ready_to_lead]
            for number in leaders:
                replica = self.members[number].replica
                term, index = replica.term, replica.propose(msgpack.packb((key, value)), None)
                # In another term, another leader's entry may stand at this index: then it is proposed again.
                while index > 0 and replica.term == term:
                    self.tick()
                    if replica.applied_index >= index:
                        self.note(client_lane(0), CLIENT, f"{key} is {value}", (asked,))
                        return number


def story() -> Cluster:
    """A leader dies, the others go on, it comes back and has everything."""
    cluster = Cluster()
    for number in cluster.disks:
        cluster.start(number)
    leader = cluster.put("colour", "blue")
    cluster.kill(leader)
    successor = cluster.put("colour", "green")
    cluster.start(leader)
    cluster.put("shape", "round")
    for _ in range(100):
        cluster.tick()
    print(
        f"member {leader} led and was killed, member {successor} went on in term {cluster.members[successor].replica.term}"
    )
    for number, member in sorted(cluster.members.items()):
        print(f"member {number}: {member.machine.values}")
    return cluster


def main(arguments: list[str]) -> None:
    cluster = story()
    for path in arguments:
        again = f"python docs/examples/embedding_cluster.py {path}"
        page = page_of(
            Scenario(LITE, 0, 3), Outcome("", ("", ""), "", {}, {}), cluster.history, again, "A replicated map"
        )
        Path(path).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
