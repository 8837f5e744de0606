"""What the log says of one group: its entries with holes where batches are lost, its term and vote, and what to doubt.

Feed it every frame of the group, every note and every damage, in the order of the log. Its rules:

- Behind damage an entry tells how far the log went; what is missing in front of it is LOST.
- The damage may have held a truncation. Then what was read before it is not what the entry behind it follows. Two entries
  of one term are of one leader's log, so equal terms prove the older one and all in front of it; otherwise the entry in
  front is LOST too, so that a peer's proof is asked for before anything in front of it counts.
- No later entry: the tail is doubtful. It is doubtful after any damage, because what is missing at one place may have
  been written to another, until the node has noted the damage and its replica has settled the doubt behind that note.
- A hard state stands in two batches in a row, so two lost in a row may have held a vote, if none follows.

Before a replica acts on what was recovered, its driver adds `hard_state_of` it to the writer and waits until that is idle:
a hard state that was found in one batch only must stand in a second one before anything is sent that rests on it.
"""

from typing import Final, final

from quantum.core.raft.entry import LOST, Entry
from quantum.core.raft.membership import Membership, decode_membership
from quantum.core.raft.recovered import Recovered
from quantum.core.wal.damage import Damage
from quantum.core.wal.frame import Frame, GroupEntry, HardState, Note, Repair, SnapshotMark, Truncate

_UNKNOWN: Final = -1


@final
class GroupLog:
    """One group while its log is read. Entries below `floor`, the index of its newest snapshot, are not kept."""

    __slots__ = (
        "_entries",
        "_floor",
        "_has_gap",
        "_is_broken",
        "_is_vote_lost",
        "_joints",
        "_last",
        "_mark",
        "_restart_index",
        "_unsettled",
        "group",
        "has_damage",
        "hard_state",
    )

    def __init__(self, group: int, floor: int) -> None:
        self.group = group
        self.has_damage = False
        self.hard_state: HardState | None = None  # the last one that was read
        self._floor = floor
        self._entries: dict[int, Entry] = {}  # what is known
        self._last = _UNKNOWN  # the last index the log is known to have had
        self._is_broken = False  # batches were lost since the last entry
        self._joints: list[int] = []  # entries behind damage that what stands in front of them is not proved by
        self._has_gap = False  # entries are missing where no damage was found
        self._is_vote_lost = False
        self._unsettled: dict[tuple[int, int, int, int], bool] = {}  # damage → noted
        self._mark: SnapshotMark | None = None
        self._restart_index = 0  # of the snapshot of a peer behind which the log began anew

    # -- reading ----------------------------------------------------------------------------------------------------

    def on_damage(self, damage: Damage) -> None:
        """The log is damaged here."""
        self.has_damage = True
        self._unsettled[_key(damage.note())] = False
        if damage.lost_count > 0:
            self._is_broken = True
        if damage.lost_count > 1:
            self._is_vote_lost = True

    def on_frame(self, frame: Frame) -> None:
        """The next frame of this group, or a note."""
        if isinstance(frame, GroupEntry):
            self._on_entry(frame.entry)
        elif isinstance(frame, HardState):
            self._on_hard_state(frame)
        elif isinstance(frame, Truncate):
            self._reach(frame.index - 1)
            self._cut(frame.index)
        elif isinstance(frame, Repair):
            self._reach(frame.entry.index)
            self._repair(frame.entry)
        elif isinstance(frame, SnapshotMark):
            self._on_snapshot(frame)
        elif isinstance(frame, Note) and _key(frame) in self._unsettled:
            self._unsettled[_key(frame)] = True

    def _on_entry(self, entry: Entry) -> None:
        index = entry.index
        if self._is_broken or index != self._last + 1:
            self._join(index, entry.term)
        if index >= self._floor:
            self._entries[index] = entry
        self._last = index

    def _join(self, index: int, term: int) -> None:
        """An entry that does not simply follow."""
        self._cut(index)
        if self._last not in (_UNKNOWN, index - 1) and not self._is_broken:
            self._has_gap = True
            self._is_broken = True
        if self._is_broken:
            before = self._entries.get(index - 1)
            if before is None or before.term != term:
                self._entries.pop(index - 1, None)
                self._joints.append(index)
        self._is_broken = False

    def _reach(self, index: int) -> None:
        """The log went at least up to `index`."""
        if self._last == _UNKNOWN or (self._last < index and self._is_broken):
            self._last = index

    def _repair(self, entry: Entry) -> None:
        if self._floor <= entry.index <= self._last:
            self._entries[entry.index] = entry
        if self._joints and self._joints[-1] == entry.index + 1:
            self._joints.pop()  # It closes the hole, and is recorded only when the whole of it is proved.

    def _cut(self, index: int) -> None:
        """Entries from `index` on are gone."""
        while self._last >= index:
            self._entries.pop(self._last, None)
            self._last -= 1
        while self._joints and self._joints[-1] >= index:
            self._joints.pop()
            self._is_broken = True  # The hole went, what stands in front of it is as unproved as before.

    def _on_hard_state(self, state: HardState) -> None:
        self.hard_state = state
        self._is_vote_lost = state.is_vote_doubtful
        if not state.is_tail_doubtful:
            self._unsettled = {key: False for key, is_noted in self._unsettled.items() if not is_noted}

    def _on_snapshot(self, mark: SnapshotMark) -> None:
        """Cut here, and the log goes on; or sent by a peer, and the log begins anew where it is another one."""
        index = mark.index
        if self._mark is None or index >= self._mark.index:
            self._mark = mark
        if self._last == _UNKNOWN or index < self._floor:
            return
        at = self._entries.get(index)
        if index > self._last or (at is not None and at.term != mark.term):
            self._entries = {}
            self._joints = []
            self._last = index
            self._restart_index = index
        elif at is None and self.has_damage:
            self._is_broken = True  # Either of the two; the next entry tells.

    # -- the result -------------------------------------------------------------------------------------------------

    def recovered(self, index: int, term: int, membership: Membership, *, is_snapshot_lost: bool) -> Recovered:
        """The log behind the newest snapshot, whose index, term and membership these are; 0, 0 and the first membership
        where there is none. Of a lost snapshot the log may know more than its files. Raises: ValueError."""
        mark = self._mark
        if mark is not None and mark.index >= index and (is_snapshot_lost or self._is_newer(mark, index)):
            is_snapshot_lost = True
            index, term = mark.index, mark.term
            membership = decode_membership(mark.membership) if mark.membership else membership
        entries = self._behind(index, term)
        state = self.hard_state
        current_term, voted_for = (state.term, state.voted_for) if state is not None else (0, 0)
        is_vote_doubtful = self._is_vote_lost or (state is None and (self.has_damage or self._has_gap))
        last_term = max([entry.term for entry in entries], default=0)
        if last_term > current_term:
            # It was durable before any entry of its term.
            current_term, voted_for, is_vote_doubtful = last_term, 0, True
        if term > current_term:
            current_term, voted_for = term, 0  # The snapshot may come before the term it was sent in.
        is_tail_doubtful = (state is not None and state.is_tail_doubtful) or self._has_gap or len(self._unsettled) > 0
        return Recovered(
            current_term,
            voted_for,
            index,
            term,
            membership,
            entries,
            is_tail_doubtful,
            is_vote_doubtful,
            is_snapshot_lost,
        )

    def _is_newer(self, mark: SnapshotMark, index: int) -> bool:
        """The log goes on behind a snapshot that is later than the one whose files were found."""
        if self._restart_index > index:
            return True
        return mark.index > index and index + 1 not in self._entries and not self.has_damage

    def _behind(self, index: int, term: int) -> list[Entry]:
        """The entries behind a snapshot, as far as they are of one log with it."""
        at = self._entries.get(index)
        following = self._entries.get(index + 1)
        if at is not None and at.term != term:
            # The snapshot of a peer is durable, and what is said of it here is not: the log is not its.
            return []
        if at is None and following is not None and index and self.has_damage:
            if following.term < term:
                return []
            if following.term > term:
                del self._entries[index + 1]  # It may follow another entry than the snapshot's last.
        last = self._last
        while last > index and last not in self._entries:
            last -= 1
            self._has_gap = True
        if index < last and index + 1 not in self._entries and not self.has_damage:
            self._has_gap = True  # The log begins behind its snapshot.
        return [self._entries.get(each) or Entry(each, 0, LOST, b"") for each in range(index + 1, last + 1)]


def hard_state_of(group: int, recovered: Recovered) -> HardState:
    """What the log is to say of a replica that starts so."""
    return HardState(
        group,
        recovered.current_term,
        recovered.voted_for,
        recovered.is_tail_doubtful,
        recovered.is_vote_doubtful,
    )


def _key(note: Note) -> tuple[int, int, int, int]:
    return note.segment, note.offset, note.first_lost, note.next_valid
