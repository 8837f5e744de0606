"""One replica of one group: consensus, the state machine that its log drives, and what waits between the two.

It does not know what the machine replicates. An entry reaches the machine once, in order, committed and durable here.
"""

from typing import Final, final

from quantum.core.group.journal import write_record
from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.core.raft.entry import COMMAND, Entry
from quantum.core.raft.membership import Membership, decode_membership, refusal_of
from quantum.core.raft.raft import CHANGING, NOT_LEADER, TRANSFERRING, Raft
from quantum.core.raft.records import Record, SnapshotRecord
from quantum.core.raft.recovered import Recovered
from quantum.core.raft.role import FOLLOWER, LEADER
from quantum.core.raft.wire import MessageDamaged, decode_message, encode_message
from quantum.core.snapshot.chunks import SnapshotReader
from quantum.core.snapshot.manifest import Manifest
from quantum.core.state_machine import StateMachine
from quantum.core.wal.writer import Writer

APPLY_BYTES: Final = 1_048_576  # entry data applied in one call
LOG_BYTES_MAX: Final = 67_108_864  # applied entries kept in memory for followers; who is further behind gets a snapshot
SOLE_LOG_BYTES_MAX: Final = 1_048_576  # the same where there is no follower


@final
class Replica:
    """Proposals and messages in, records, messages and effects out. See the room's front page."""

    __slots__ = (
        "_applied",
        "_decoded",
        "_digests",
        "_log_bytes_max",
        "applied_index",
        "applied_term",
        "has_more",
        "is_started",
        "machine",
        "number",
        "raft",
        "snapshot_index",
    )

    def __init__(self, number: int, machine: StateMachine, log_bytes_max: int = LOG_BYTES_MAX) -> None:
        self.number = number
        self._log_bytes_max = log_bytes_max
        self.machine = machine
        self.raft: Raft  # consensus, to be read by anybody; there is none before `start`
        self.is_started = False  # this replica takes part
        self.applied_index = 0
        self.applied_term = 0
        self.snapshot_index = 0  # of the newest durable snapshot
        self.has_more = False  # committed entries wait for the next `apply`
        self._decoded: dict[int, tuple[int, object]] = {}  # index → (term, what a proposal of this replica encoded)
        self._digests: dict[int, bytes] = {}  # index → digest of the manifest of a snapshot installed there
        self._applied: list[object] = []

    # -- before consensus -------------------------------------------------------------------------------------------

    def on_snapshot(self, index: int, term: int) -> None:
        """The machine was restored from this disk's own snapshot."""
        self.applied_index = index
        self.applied_term = term
        self.snapshot_index = index

    def replay(self, entry: Entry) -> None:
        """An entry of a sole voter's log, in order; its effects concern nobody any more.

        A sole voter finds all its entries committed: whatever it once wrote, a quorum holds.
        """
        if entry.index <= self.applied_index:
            return
        assert entry.index == self.applied_index + 1
        if entry.kind == COMMAND:
            self.machine.apply(entry.index, entry.data, None)
        self.applied_index = entry.index
        self.applied_term = entry.term

    def start(self, node: int, config: RaftConfig, prng: Prng, recovered: Recovered, now_ms: int) -> None:
        """Begin to take part. The machine stands at `recovered.snapshot_index`."""
        assert not self.is_started
        assert recovered.is_snapshot_lost or self.applied_index == recovered.snapshot_index
        raft = Raft(node, config, prng, recovered, now_ms)
        self.raft = raft
        self.is_started = True
        raft.on_clock(max(1, now_ms))  # A sole voter waits for nobody.

    # -- inputs -----------------------------------------------------------------------------------------------------

    def on_clock(self, now_ms: int) -> None:
        """The monotonic clock."""
        self.raft.on_clock(now_ms)

    def on_message(self, sender: int, data: bytes) -> bool:
        """A message of a peer; False, and nothing changed, where the bytes are none."""
        try:
            message = decode_message(data)
        except MessageDamaged:
            return False
        self.raft.on_message(sender, message)
        return True

    def on_persisted(self, sequence: int) -> None:
        """Records up to `sequence` are durable."""
        self.raft.on_persisted(sequence)

    def propose(self, data: bytes, decoded: object) -> int:
        """Append a command; its index, or a negative reason. `decoded` is what `data` encodes, for the own machine."""
        if not self.is_started:
            return NOT_LEADER
        raft = self.raft
        index = raft.propose(data)
        if index > 0 and decoded is not None:
            self._decoded[index] = (raft.current_term, decoded)
        return index

    def hand_over(self, to: int) -> str:
        """Make another voter the leader; why that cannot be, "" when it is under way."""
        outcome = self.raft.transfer_leadership(to)
        if outcome == TRANSFERRING:
            return "another transfer of leadership is under way"
        if outcome == NOT_LEADER:
            return "this node does not lead"
        return f"node {to} is no voter other than this one" if outcome else ""

    def step_aside(self) -> None:
        """Hand a leader's office to the voter that is furthest, if there is one."""
        leadership = self.raft.leadership
        if leadership is None:
            return
        best, best_index = 0, -1
        for node, progress in leadership.followers.items():
            if node in self.raft.membership.voters and progress.match_index > best_index:
                best, best_index = node, progress.match_index
        if best:
            self.raft.transfer_leadership(best)

    def change_membership(self, voters: tuple[int, ...], learners: tuple[int, ...]) -> str:
        """Have these take part; why that cannot be, "" when it is under way."""
        raft = self.raft
        wanted = Membership(voters, (), learners)
        text = refusal_of(raft.membership, wanted)
        if text:
            return text
        outcome = raft.propose_membership(wanted)
        if outcome > 0:
            return ""
        if outcome == NOT_LEADER:
            return "this node does not lead"
        if outcome == CHANGING:
            return "another change is under way, or the leader is new and does not know yet whether one is"
        return "the leader can append nothing now: a transfer is under way, or too much is uncommitted"

    def install(self, sender: int, term: int, manifest: Manifest, reader: SnapshotReader) -> bool:
        """A snapshot of a peer is durable here, its chunks are in `reader`. False where it is not needed.

        Effects of the entries it stands for are never seen here. Raises: SnapshotDamaged, and nothing changed.
        """
        reader.check_whole()
        membership = decode_membership(manifest.membership)
        if not self.raft.on_snapshot_received(sender, term, manifest.index, manifest.term, membership):
            return False
        self.machine.reset()
        reader.restore()
        self.applied_index = manifest.index
        self.applied_term = manifest.term
        self._decoded.clear()
        self._digests = {manifest.index: manifest.digest()}
        return True

    def on_snapshot_unneeded(self, sender: int, term: int, manifest: Manifest) -> None:
        """A peer offers what this replica is past already: it did not hear so yet."""
        assert not self.wants_snapshot(manifest.index)
        membership = decode_membership(manifest.membership)
        is_needed = self.raft.on_snapshot_received(sender, term, manifest.index, manifest.term, membership)
        assert not is_needed

    def on_snapshot_durable(self, index: int) -> None:
        """A snapshot is durable, and the log says so: the log up to there may go from the disk."""
        self.snapshot_index = max(self.snapshot_index, index)

    # -- outputs ----------------------------------------------------------------------------------------------------

    def take_records(self) -> list[tuple[int, Record]]:
        """(sequence, record): to be made durable in order, then told to `on_persisted`."""
        raft = self.raft
        records = raft.take_records()
        first = raft.record_sequence - len(records) + 1
        return [(first + at, record) for at, record in enumerate(records)]

    def write(self, writer: Writer) -> None:
        """Hand what is to be durable to the log."""
        raft = self.raft
        records = raft.take_records()
        if not records:
            return
        sequence = raft.record_sequence - len(records)
        for record in records:
            sequence += 1
            digest = self._digests.pop(record.index, b"") if isinstance(record, SnapshotRecord) else b""
            write_record(writer, self.number, sequence, record, digest)

    def take_messages(self) -> list[tuple[int, bytes]]:
        """(to, message) for peers."""
        messages = self.raft.take_messages()
        return [(to, encode_message(message)) for to, message in messages] if messages else []

    def apply(self) -> bool:
        """Apply what is committed and durable here, up to a limit; `has_more` says that it was reached.

        True when `take_applied` has something.
        """
        if not self.is_started or self.raft.delivered_index >= self.raft.commit_index:
            self.has_more = False
            return len(self._applied) > 0
        raft = self.raft
        entries = raft.take_committed(APPLY_BYTES)
        if not entries:
            self.has_more = False
            return len(self._applied) > 0
        decoded = self._decoded
        applied = self._applied
        for entry in entries:
            kept = decoded.pop(entry.index, None) if decoded else None
            if entry.kind == COMMAND:
                same = kept[1] if kept is not None and kept[0] == entry.term else None
                applied.append(self.machine.apply(entry.index, entry.data, same))
        last = entries[-1]
        self.applied_index = last.index
        self.applied_term = last.term
        raft.on_applied(last.index)
        self.has_more = last.index < min(raft.commit_index, raft.durable_index)
        self._bound_memory(raft)
        return len(applied) > 0

    def _bound_memory(self, raft: Raft) -> None:
        """Forget applied entries that take too much memory, the older half of them."""
        if raft.log.size <= SOLE_LOG_BYTES_MAX:
            return
        is_sole = len(raft.membership.members()) == 1
        if is_sole or raft.log.size > self._log_bytes_max:
            base_index = raft.log.base_index
            keep = 0 if is_sole else (self.applied_index - base_index) // 2
            if self.applied_index - keep > base_index:
                raft.compact(self.applied_index - keep)

    def take_applied(self) -> list[object]:
        """The effects of entries applied since the last call, in order."""
        applied = self._applied
        self._applied = []
        return applied

    def next_deadline_ms(self) -> int:
        """When `on_clock` must be called, 0 for never."""
        if not self.is_started:
            return 0
        leadership = self.raft.leadership
        if leadership is not None and not leadership.followers:
            return 0
        return self.raft.next_deadline_ms()

    # -- queries ----------------------------------------------------------------------------------------------------

    @property
    def role(self) -> int:
        """See `raft.raft`."""
        return self.raft.role if self.is_started else FOLLOWER

    @property
    def term(self) -> int:
        """The current one."""
        return self.raft.current_term if self.is_started else 0

    @property
    def leader(self) -> int:
        """Who leads, 0 while that is not known."""
        return self.raft.leader if self.is_started else 0

    @property
    def is_leading(self) -> bool:
        """It leads, as far as it knows."""
        return self.role == LEADER

    @property
    def is_ready_to_lead(self) -> bool:
        """It leads, and has applied everything that earlier leaders committed. Raft §8"""
        if not self.is_started:
            return False
        leadership = self.raft.leadership
        return leadership is not None and self.applied_index >= leadership.term_start

    def wants_snapshot(self, index: int) -> bool:
        """Whether a snapshot at `index` would bring this replica further."""
        if not self.is_started:
            return False
        raft = self.raft
        if raft.doubt.is_vote_doubtful or raft.role == LEADER:
            return False
        return index >= raft.snapshot_index_min if raft.snapshot_index_min else index > raft.commit_index

    @property
    def has_lost_state(self) -> bool:
        """The disk lost the state that the log goes on from: a peer's snapshot must bring it back."""
        return self.is_started and self.raft.snapshot_index_min > 0

    def progress(self) -> list[dict[str, int]]:
        """How far each follower is, as this leader knows it."""
        leadership = self.raft.leadership
        if leadership is None:
            return []
        followers = leadership.followers
        return [{"node": node, "match_index": followers[node].match_index} for node in sorted(followers)]
