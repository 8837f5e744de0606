"""Bugs of consensus to plant, one at a time: each is a wrong line that some implementation of Raft has had, or could.

B numbers are those of FAULTS §3.2. Profile lite must find every one; FOUND_AT says at which seed it did when the table was
last made, and EXHAUSTIVE which ones the exhaustive search finds in seconds as well.
"""

from typing import Final

from tests.sim.mutants import Mutant

RAFT: Final = "core/raft/raft.py"
ELECTION: Final = "core/raft/election.py"
FOLLOWING: Final = "core/raft/following.py"
LEADING: Final = "core/raft/leading.py"
LEADERSHIP: Final = "core/raft/leadership.py"
PROGRESS: Final = "core/raft/progress.py"
DURABILITY: Final = "core/raft/durability.py"
QUORUM: Final = "core/raft/quorum.py"
READS: Final = "core/raft/reads.py"
DOUBT: Final = "core/raft/doubt.py"
REPAIR: Final = "core/raft/repair.py"
MENDING: Final = "core/raft/mending.py"
LOG: Final = "core/raft/log.py"
MEMBERS: Final = "core/raft/membership.py"

ELECTIONS: Final = (
    Mutant(
        "B1 vote cleared by a step-down in the same term",
        RAFT,
        "        if term > self.current_term:\n            self.current_term = term\n",
        "        if term >= self.current_term:\n            self.current_term = term\n",
    ),
    Mutant(
        "B2 vote cleared when the leader is learned",
        RAFT,
        "        was_follower = self.role == FOLLOWER\n",
        "        was_follower = self.role == FOLLOWER\n        self.voted_for = 0 if leader else self.voted_for\n",
    ),
    Mutant(
        "B3 term and vote never persisted",
        RAFT,
        "        self.durability.record(HardStateRecord(",
        "        str(HardStateRecord(",
    ),
    Mutant(
        "B4 acknowledged before the sync",
        DURABILITY,
        "        self._gate(self.sequence, to, message)\n",
        "        self._gate(self._hard_sequence, to, message)\n",
    ),
    Mutant(
        "vote given before it is durable",
        DURABILITY,
        "        self._gate(self._hard_sequence, to, message)\n",
        "        self._gate(0, to, message)\n",
    ),
    Mutant(
        "B5 votes of an earlier term counted",
        ELECTION,
        "    elif raft.role == CANDIDATE and message.term == raft.current_term:\n",
        "    elif raft.role == CANDIDATE:\n",
    ),
    Mutant(
        "B8 only the terms of the last entries compared",
        ELECTION,
        "    return (last_term, last_index) >= (raft.log.last_term, raft.log.last_index)\n",
        "    return last_term >= raft.log.last_term\n",
    ),
    Mutant(
        "B8 only the lengths of the logs compared",
        ELECTION,
        "    return (last_term, last_index) >= (raft.log.last_term, raft.log.last_index)\n",
        "    return last_index >= raft.log.last_index\n",
    ),
    Mutant(
        "two votes in one term",
        ELECTION,
        "        raft.voted_for == 0 and not raft.leader and may_vote_for(",
        "        not raft.leader and may_vote_for(",
    ),
    Mutant(
        "one vote less than a quorum",
        QUORUM,
        "    needed = len(voters) // 2 + 1\n",
        "    needed = (len(voters) + 1) // 2\n",
    ),
    Mutant(
        "B12 higher term in a refused pre-vote ignored",
        ELECTION,
        "    if not message.is_granted and message.term > raft.current_term:\n",
        "    if message.is_granted and message.term > raft.current_term + 1:\n",
    ),
    Mutant(
        "B10 a learner campaigns",
        RAFT,
        "        return any(membership.is_voter(self.node) for membership in self.memberships.since(self.commit_index))\n",
        "        return any(self.node in membership.members() for membership in self.memberships.since(self.commit_index))\n",
    ),
    Mutant(
        "vote forgotten at a restart",
        RAFT,
        "        self.voted_for = recovered.voted_for\n",
        "        self.voted_for = 0\n",
    ),
    Mutant(
        "B13 a leader that nobody hears keeps its office",
        LEADING,
        "        if not leadership.count_quorum():\n",
        "        if leadership.transferee and not leadership.count_quorum():\n",
    ),
    Mutant(
        "AppendEntries of an earlier term obeyed",
        FOLLOWING,
        'def on_append_entries(raft: "Raft", sender: int, message: AppendEntries) -> None:\n'
        "    if message.term < raft.current_term:\n",
        'def on_append_entries(raft: "Raft", sender: int, message: AppendEntries) -> None:\n'
        "    if message.term < raft.current_term - 1:\n",
    ),
    Mutant(
        "no entry of its own term when it takes office",
        RAFT,
        '        self.append_entry(Entry(self.log.last_index + 1, self.current_term, NO_OP, b""))\n',
        "        leadership.uncommitted_bytes += 0\n",
    ),
)

REPLICATION: Final = (
    Mutant(
        "B17 entries of an earlier term committed by counting",
        LEADING,
        "    if index <= raft.commit_index or raft.log.term_at(index) != raft.current_term:\n",
        "    if index <= raft.commit_index:\n",
    ),
    Mutant(
        "B19 commit index follows the leader's down",
        RAFT,
        "        if index > self.commit_index:\n            self.commit_index = index\n",
        "        if index > self.applied_index:\n            self.commit_index = index\n",
    ),
    Mutant(
        "B20 match_index follows a late acknowledgement down",
        PROGRESS,
        "        if is_news:\n            # Ack",
        "        if index:\n            # Ack",
    ),
    Mutant(
        "B21 truncated by entries that are here already",
        FOLLOWING,
        "            if log.term_at(index) == entry.term:\n",
        "            if log.term_at(index) == entry.term and index < log.last_index:\n",
    ),
    Mutant(
        "B22 quorum taken from what is not sorted",
        QUORUM,
        "    indexes = sorted([index_of(node) for node in voters], reverse=True)\n",
        "    indexes = [index_of(node) for node in voters]\n",
    ),
    Mutant(
        "half of the voters taken for a quorum",
        QUORUM,
        "    return indexes[len(indexes) // 2]\n",
        "    return indexes[(len(indexes) - 1) // 2]\n",
    ),
    Mutant(
        "B24 a write that was overwritten counts for what replaced it",
        DURABILITY,
        "        self._appended = deque([(sequence, min(last, index - 1)) for sequence, last in self._appended])\n",
        "        self._appended = deque(self._appended)\n",
    ),
    Mutant(
        "durable index stays when the log is truncated",
        DURABILITY,
        "        self.durable_index = min(self.durable_index, index - 1)\n",
        "        self.durable_index = max(self.durable_index, index - 1)\n",
    ),
    Mutant(
        "B28 the leader counts itself before its own sync",
        LEADING,
        "    index = leadership.committed_index(raft.durability.durable_index)\n",
        "    index = leadership.committed_index(raft.log.last_index)\n",
    ),
    Mutant(
        "applied before it is durable",
        RAFT,
        "        limit = min(self.commit_index, self.durability.durable_index)\n",
        "        limit = self.commit_index\n",
    ),
    Mutant(
        "previous entry not compared",
        FOLLOWING,
        "    elif raft.log.term_at(previous_index) != message.previous_term or raft.log.is_lost(previous_index):\n",
        "    elif raft.log.last_index < previous_index or raft.log.is_lost(previous_index):\n",
    ),
    Mutant(
        "commit index taken beyond what was compared",
        FOLLOWING,
        "        raft.set_commit(min(message.commit_index, matched))\n",
        "        raft.set_commit(min(message.commit_index, raft.log.last_index))\n",
    ),
    Mutant(
        "next_index stays behind match_index",
        PROGRESS,
        "        if index >= self.next_index:\n            self.next_index = index + 1\n",
        "",
    ),
    Mutant(
        "next_index falls below match_index",
        PROGRESS,
        "        self.next_index = max(self.match_index + 1, min(next_index, index))\n",
        "        self.next_index = min(next_index, index)\n",
    ),
    Mutant(
        "entries handed over twice",
        RAFT,
        "            self.delivered_index = entries[-1].index\n",
        "            self.delivered_index = entries[0].index\n",
    ),
    Mutant(
        "B30 a lost probe is waited for without end",
        PROGRESS,
        "        self._is_probing = False\n        if self.state == REPLICATE and self.is_paused:\n",
        "        if self.state == REPLICATE and self.is_paused:\n",
    ),
    Mutant(
        "B29 a full window is waited for without end",
        PROGRESS,
        "        if self.state == REPLICATE and self.is_paused:\n",
        "        if self.state == PROBE and self.is_paused:\n",
    ),
    Mutant(
        "AppendEntries larger than allowed",
        LOG,
        "            if entry.kind == LOST or (found and size > bytes_max):\n",
        "            if entry.kind == LOST:\n",
    ),
)

READING: Final = (
    Mutant(
        "B52 read before an entry of the own term is committed",
        LEADING,
        "    elif not raft.is_committed_in_own_term():\n",
        "    elif not raft.leadership:\n",
    ),
    Mutant(
        "B53 a read confirmed by answers to an earlier round",
        READS,
        "        self.sequence += 1\n",
        "        self.sequence = max(1, self.sequence)\n",
    ),
    Mutant(
        "B27 a read confirmed by the leader alone",
        LEADERSHIP,
        "            sequence = quorum_index(self.membership, self._read_sequence_of)\n",
        "            sequence = self.reads.sequence\n",
    ),
    Mutant(
        "a read forwarded to a follower answered by it",
        RAFT,
        "                self.durability.send(sender, ReadIndexReply(self.current_term, message.context, 0))\n",
        "                self.durability.send(\n"
        "                    sender, ReadIndexReply(self.current_term, message.context, self.commit_index)\n"
        "                )\n",
    ),
)

MEMBERSHIP: Final = (
    Mutant(
        "B33 outgoing voters ignored when committing",
        QUORUM,
        "        index = min(index, _majority_index(membership.outgoing, index_of))\n",
        "        index = max(index, _majority_index(membership.outgoing, index_of))\n",
    ),
    Mutant(
        "B33 outgoing voters ignored in elections",
        QUORUM,
        "    if not membership.outgoing:\n        return outcome\n",
        "    if not membership.outgoing or outcome == WON:\n        return outcome\n",
    ),
    Mutant(
        "voters replaced in one step",
        RAFT,
        "            wanted = Membership(wanted.voters, self.membership.voters, wanted.learners)\n",
        "            wanted = Membership(wanted.voters, (), wanted.learners)\n",
    ),
    Mutant(
        "B32 a second change before the first is committed",
        RAFT,
        "            and self.commit_index >= max(leadership.term_start, self.memberships.latest_index)\n",
        "            and self.commit_index >= leadership.term_start\n",
    ),
    Mutant(
        "B33 memberships in the log ignored at a start",
        RAFT,
        "        for entry in recovered.entries:\n            if entry.kind == MEMBERSHIP:\n",
        "        for entry in recovered.entries[1:]:\n            if entry.kind == NO_OP + MEMBERSHIP:\n",
    ),
    Mutant(
        "B37 an installed snapshot keeps the old membership",
        FOLLOWING,
        "        raft.memberships = MembershipHistory(index, membership)\n",
        "        raft.memberships = MembershipHistory(index, raft.membership)\n",
    ),
    Mutant(
        "a truncated membership stays in force",
        RAFT,
        "        self.memberships.truncate(index)\n",
        "        self.memberships.truncate(self.last_index + 2)\n",
    ),
    Mutant(
        "a joint membership is never left",
        LEADING,
        "    if membership.is_joint():\n",
        "    if membership.is_joint() and not membership.is_voter(raft.node):\n",
    ),
    Mutant(
        "membership of a compacted entry forgotten",
        MEMBERS,
        "        self._base = (index, membership)\n",
        "        self._base = (index, self._base[1])\n",
    ),
)

SNAPSHOTS_AND_DAMAGE: Final = (
    Mutant(
        "B49 entries of another log kept behind a snapshot",
        FOLLOWING,
        "    if log.term_at(index) == term and not log.is_lost(index):\n",
        "    if log.base_index <= index <= log.last_index and not log.is_lost(index):\n",
    ),
    Mutant(
        "B50 a snapshot for every acknowledgement",
        LEADERSHIP,
        "            if progress.state == SNAPSHOT and not reply.snapshot_index_min and progress.has_snapshot:\n",
        "            if progress.state == SNAPSHOT and progress.has_snapshot:\n",
    ),
    Mutant(
        "term in front of the log forgotten by compaction",
        LOG,
        "        del self._entries[:count]\n        self.base_index = index\n        self.base_term = term\n",
        "        del self._entries[:count]\n        self.base_index = index\n",
    ),
    Mutant(
        "a log that may have lost its end elects anybody",
        DOUBT,
        "        return not self.is_tail_doubtful or self.is_above_floor(last_term, last_index)\n",
        "        return True\n",
    ),
    Mutant(
        "a doubt settled by logs that are shorter",
        DOUBT,
        "        return self._is_floor_set and (last_term, last_index) >= self.floor\n",
        "        return self._is_floor_set\n",
    ),
    Mutant(
        "holes never asked for",
        MENDING,
        "    if raft.repair.is_due(raft.log, now_ms):\n",
        "    if raft.repair.is_due(raft.log, now_ms) and not raft.leader:\n",
    ),
    Mutant(
        "a replica that lost its state campaigns",
        RAFT,
        "            and not self.log.first_lost\n            and not self.snapshot_index_min\n",
        "            and not self.log.first_lost\n",
    ),
    Mutant(
        "a replica with holes campaigns",
        RAFT,
        "            and not self.log.first_lost\n            and not self.snapshot_index_min\n",
        "            and not self.snapshot_index_min\n",
    ),
)

RAFT_MUTANTS: Final = ELECTIONS + REPLICATION + READING + MEMBERSHIP + SNAPSHOTS_AND_DAMAGE

EXHAUSTIVE: Final = (
    "B1 vote cleared by a step-down in the same term",
    "B2 vote cleared when the leader is learned",
    "B3 term and vote never persisted",
    "B4 acknowledged before the sync",
    "vote given before it is durable",
    "B5 votes of an earlier term counted",
    "B8 only the terms of the last entries compared",
    "two votes in one term",
    "vote forgotten at a restart",
    "AppendEntries of an earlier term obeyed",
    "B21 truncated by entries that are here already",
    "B22 quorum taken from what is not sorted",
    "durable index stays when the log is truncated",
    "B28 the leader counts itself before its own sync",
    "applied before it is durable",
    "entries handed over twice",
)

# The first seed that finds it, and the law it breaks there.
FOUND_AT: Final = {
    "B1 vote cleared by a step-down in the same term": (1, "R8"),
    "B2 vote cleared when the leader is learned": (1, "R2"),
    "B3 term and vote never persisted": (1, "R16"),
    "B4 acknowledged before the sync": (1, "R12"),
    "vote given before it is durable": (1, "R12"),
    "B5 votes of an earlier term counted": (347, "R10"),
    "B8 only the terms of the last entries compared": (9, "R5"),
    "B8 only the lengths of the logs compared": (525, "R5"),
    "two votes in one term": (6, "R12"),
    "one vote less than a quorum": (1, "R10"),
    "B12 higher term in a refused pre-vote ignored": (43, "L3"),
    "B10 a learner campaigns": (1, "R10"),
    "vote forgotten at a restart": (2, "R2"),
    "B13 a leader that nobody hears keeps its office": (46, "L5"),
    "AppendEntries of an earlier term obeyed": (17, "L6"),
    "no entry of its own term when it takes office": (4, "L6"),
    "B17 entries of an earlier term committed by counting": (2, "R9"),
    "B19 commit index follows the leader's down": (8, "R8"),
    "B20 match_index follows a late acknowledgement down": (1, "R8"),
    "B21 truncated by entries that are here already": (1, "R7"),
    "B22 quorum taken from what is not sorted": (1, "R7"),
    "half of the voters taken for a quorum": (1, "R7"),
    "B24 a write that was overwritten counts for what replaced it": (157, "R12"),
    "durable index stays when the log is truncated": (1, "R12"),
    "B28 the leader counts itself before its own sync": (2, "R7"),
    "applied before it is durable": (1, "R11"),
    "previous entry not compared": (70, "R4"),
    "commit index taken beyond what was compared": (84, "R6"),
    "next_index stays behind match_index": (3, "R8"),
    "next_index falls below match_index": (1, "R8"),
    "entries handed over twice": (2, "ASSERT"),
    "B30 a lost probe is waited for without end": (3, "L3"),
    "B29 a full window is waited for without end": (7, "L3"),
    "AppendEntries larger than allowed": (1, "R15"),
    "B52 read before an entry of the own term is committed": (8, "R13"),
    "B53 a read confirmed by answers to an earlier round": (28, "R13"),
    "B27 a read confirmed by the leader alone": (131, "R13"),
    "a read forwarded to a follower answered by it": (8, "R13"),
    "B33 outgoing voters ignored when committing": (1, "R7"),
    "B33 outgoing voters ignored in elections": (81, "R10"),
    "voters replaced in one step": (1, "R10"),
    "B32 a second change before the first is committed": (126, "R10"),
    "B33 memberships in the log ignored at a start": (4, "R10"),
    "B37 an installed snapshot keeps the old membership": (1, "R10"),
    "a truncated membership stays in force": (18, "R10"),
    "a joint membership is never left": (1, "L3"),
    "membership of a compacted entry forgotten": (7, "R10"),
    "B49 entries of another log kept behind a snapshot": (121, "R16"),
    "B50 a snapshot for every acknowledgement": (276, "R15"),
    "term in front of the log forgotten by compaction": (9, "ASSERT"),
    "a log that may have lost its end elects anybody": (180, "R5"),
    "a doubt settled by logs that are shorter": (89, "R5"),
    "holes never asked for": (73, "R17"),
    "a replica that lost its state campaigns": (148, "L3"),
    "a replica with holes campaigns": (257, "L3"),
}
