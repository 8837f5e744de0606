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
        "B8 terms and lengths compared field by field",
        ELECTION,
        "    return (last_term, last_index) >= (raft.log.last_term, raft.log.last_index)\n",
        "    return last_term >= raft.log.last_term and last_index >= raft.log.last_index\n",
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
        "            self.membership.is_voter(self.node)\n",
        "            self.node in self.membership.members()\n",
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
        "B48 a snapshot behind the commit index installed",
        RAFT,
        "else index > self.commit_index\n",
        "else index >= self.log.base_index\n",
    ),
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
        "        return self._is_floor_set and (last_term, last_index) >= self._floor\n",
        "        return self._is_floor_set\n",
    ),
    Mutant(
        "holes never asked for",
        RAFT,
        "        if self.repair.is_due(self.log, now_ms):\n",
        "        if self.repair.is_due(self.log, now_ms) and not self.leader:\n",
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
    Mutant(
        "a hole closed without regard to what stands in front",
        REPAIR,
        "        if is_known and not log.is_lost(first - 1) and log.term_at(first - 1) == reply.previous_term:\n",
        "        if is_known and not log.is_lost(first - 1):\n",
    ),
    Mutant(
        "fetched entries told without proof",
        REPAIR,
        "    if log.term_at(next_index) != wanted.next_term:\n",
        "    if log.term_at(next_index) < 0:\n",
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
