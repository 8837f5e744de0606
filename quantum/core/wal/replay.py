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

_Key = tuple[int, int, int, int]
_UNKNOWN: Final = -1
_NO_DAMAGE: Final = (0, 0, 0, 0)


@final
class _Joint:
    """An entry behind damage that does not prove what stands in front of it."""

    __slots__ = ("damages", "index")

    def __init__(self, index: int, damages: list[_Key]) -> None:
        self.index = index
        self.damages = damages  # those that no later life knows of yet


@final
class GroupLog:
    """One group while its log is read. Entries below `floor`, the index of its newest snapshot, are not kept."""

    __slots__ = (
        "_breaking",
        "_entries",
        "_floor",
        "_has_gap",
        "_is_vote_lost",
        "_joints",
        "_last",
        "_mark",
        "_repaired",
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
        self._breaking: list[_Key] = []  # what was lost since the last entry
        self._joints: list[_Joint] = []  # ascending
        self._has_gap = False  # entries are missing where no damage was found
        self._is_vote_lost = False
        self._repaired = (0, 0)  # the first and the last of entries that came back one behind the other
        self._unsettled: dict[_Key, bool] = {}  # damage → noted
        self._mark: SnapshotMark | None = None
        self._restart_index = 0  # of the snapshot of a peer behind which the log began anew

    # -- reading ----------------------------------------------------------------------------------------------------

    def on_damage(self, damage: Damage) -> None:
        """The log is damaged here."""
        self.has_damage = True
        key = _key(damage.note())
        self._unsettled[key] = False
        if damage.lost_count > 0:
            self._breaking.append(key)
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
        else:
            assert isinstance(frame, Note)
            self._on_note(_key(frame))

    def _on_entry(self, entry: Entry) -> None:
        index = entry.index
        if self._breaking or index != self._last + 1:
            self._join(index, entry.term)
        if index >= self._floor:
            self._entries[index] = entry
        self._last = index

    def _join(self, index: int, term: int) -> None:
        """An entry that does not simply follow."""
        self._cut(index)
        if self._last not in (_UNKNOWN, index - 1) and not self._breaking:
            self._has_gap = True
            self._breaking.append(_NO_DAMAGE)
        if self._breaking:
            if not self._is_proved(index, term):
                self._joints.append(_Joint(index, self._breaking))
            self._breaking = []

    def _reach(self, index: int) -> None:
        """The log went at least up to `index`."""
        if self._last == _UNKNOWN or (self._last < index and self._breaking):
            self._last = index

    def _repair(self, entry: Entry) -> None:
        """Entries come back ascending, and only when the whole hole is proved: by a life that knew all of the damage, or
        by one that read something else in front of the hole, where more is damaged now."""
        index = entry.index
        if self._floor <= index <= self._last:
            self._entries[index] = entry
        at = 0
        while at < len(self._joints) and self._joints[at].index <= index:
            at += 1
        if index != self._repaired[1] + 1:
            self._repaired = (index, index)
        self._repaired = (self._repaired[0], index)
        if at == len(self._joints) or self._joints[at].index != index + 1:
            return
        joint = self._joints.pop(at)
        first = self._repaired[0]
        opening = self._entries.get(first)
        if not joint.damages or opening is None or first == self._floor:
            return
        if not self._is_proved(first, opening.term):
            self._joints.insert(at, _Joint(first, joint.damages))

    def _is_proved(self, index: int, term: int) -> bool:
        """Whether an entry proves what stands in front of it. What does not fit is lost then."""
        before = self._entries.get(index - 1)
        if before is not None and before.term == term:
            return True
        self._entries.pop(index - 1, None)
        return False

    def _cut(self, index: int) -> None:
        """Entries from `index` on are gone."""
        while self._last >= index:
            self._entries.pop(self._last, None)
            self._last -= 1
        while self._joints and self._joints[-1].index >= index:
            # The hole went with it. A life that knew of it proved what stands in front, an earlier one did not.
            self._breaking += self._joints.pop().damages

    def _on_note(self, key: _Key) -> None:
        """A life began that knows of a damage: with the log as it was read up to here. What it says it says of that."""
        if key in self._unsettled:
            self._unsettled[key] = True
        for joint in self._joints:
            joint.damages = [each for each in joint.damages if each != key]
        if key in self._breaking:
            self._breaking = [each for each in self._breaking if each != key]
            while not self._breaking and self._last > self._floor and self._last not in self._entries:
                self._last -= 1

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
            self._breaking.append(_NO_DAMAGE)  # Either of the two; the next entry tells.

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


def _key(note: Note) -> _Key:
    return note.segment, note.offset, note.first_lost, note.next_valid
