"""Goal: a process that starts with less than its disk held, and does not know, is caught before it speaks. Method: logs of
synced batches and replicas as they were recovered from them; each good one has a doctored twin."""

from collections.abc import Callable

import pytest

from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.core.raft.entry import COMMAND, LOST, Entry
from quantum.core.raft.membership import Membership
from quantum.core.raft.raft import Raft
from quantum.core.raft.recovered import Recovered
from quantum.core.wal.batch import NO_DIGEST, encode_batch
from quantum.core.wal.frame import HardState, Truncate, encode_entry_frame, encode_hard_state, encode_truncate
from quantum.core.wal.segment import HEAD_BYTES, segment_name
from quantum.sim.book import Book
from quantum.sim.marks import Marks
from quantum.sim.recovery_oracle import RecoveryOracle
from quantum.sim.synced_log import GROUP, SyncedLog

SALT = b"salt of a log"


class Disk:
    """What was synced, batch by batch."""

    def __init__(self) -> None:
        self.log = SyncedLog(SALT)
        self._offset = HEAD_BYTES
        self._sequence = 1

    def sync(self, *frames: bytes) -> None:
        data, _ = encode_batch(SALT, 1, self._offset, self._sequence, NO_DIGEST, list(frames))
        self.log.on_synced(segment_name(1), self._offset, data)
        self._offset += len(data)
        self._sequence += 1

    def sync_vote(self, term: int, vote: int, copies: int = 2) -> None:
        for _ in range(copies):
            self.sync(encode_hard_state(HardState(GROUP, term, vote, False)))

    def sync_entries(self, term: int, first: int, last: int) -> None:
        for index in range(first, last + 1):
            self.sync(encode_entry_frame(GROUP, index, term, COMMAND, b"x"))


def found(term: int, vote: int, terms: list[int], base: int = 0, **doubts: bool) -> Recovered:
    """A recovered replica; a term of 0 stands for an entry that is lost."""
    entries = [
        Entry(at, each, COMMAND if each else LOST, b"x" if each else b"") for at, each in enumerate(terms, base + 1)
    ]
    return Recovered(term, vote, base, 1 if base else 0, Membership((1, 2, 3)), entries, **doubts)


def laws(disk: Disk, recovered: Recovered, *, was_damaged: bool) -> list[str]:
    book = Book(Marks())
    disk.log.on_process()
    raft = Raft(1, RaftConfig(), Prng(1), recovered, 0)
    RecoveryOracle(book).on_started(1, disk.log, raft, was_damaged=was_damaged)
    return [each.law for each in book.violations]


def written() -> Disk:
    """Term 3 with a vote for node 2, and entries 1 to 6."""
    disk = Disk()
    disk.sync_vote(1, 1)
    disk.sync_entries(1, 1, 4)
    disk.sync_vote(3, 2)
    disk.sync_entries(3, 5, 6)
    return disk


def overwritten() -> Disk:
    """Entries 3 and 4 of term 1 gave way to entry 3 of term 2."""
    disk = Disk()
    disk.sync_vote(1, 1)
    disk.sync_entries(1, 1, 4)
    disk.sync_vote(2, 3)
    disk.sync(encode_truncate(Truncate(GROUP, 3)))
    disk.sync_entries(2, 3, 3)
    return disk


def half_voted() -> Disk:
    """A term that stands in one batch: nothing that rests on it was ever sent."""
    disk = written()
    disk.sync_vote(4, 3, copies=1)
    return disk


WHOLE = [1, 1, 1, 1, 3, 3]
Case = tuple[Callable[[], Disk], Recovered, bool]
GOOD: dict[str, Case] = {
    "everything": (written, found(3, 2, WHOLE), False),
    "behind a snapshot": (written, found(3, 2, [3, 3], base=4), False),
    "more than was synced": (written, found(4, 0, [*WHOLE, 4]), False),
    "a hole that is known": (written, found(3, 2, [1, 0, 1, 1, 3, 3], is_tail_doubtful=True), True),
    "an end that is doubted": (written, found(3, 2, WHOLE[:4], is_tail_doubtful=True), True),
    "an old entry in front of a hole": (overwritten, found(2, 3, [1, 1, 1, 0, 2]), True),
    "a vote that is doubted": (written, found(1, 1, WHOLE, is_vote_doubtful=True), True),
    "a vote that stood in the damaged batch only": (half_voted, found(3, 2, WHOLE), True),
    "what overwrote": (overwritten, found(2, 3, [1, 1, 2]), False),
}
DOCTORED: dict[str, tuple[str, Case]] = {
    "an entry less": ("W1", (written, found(3, 2, WHOLE[:5]), False)),
    "a hole on a disk that nobody damaged": ("W1", (written, found(3, 2, [1, 0, 1, 1, 3, 3]), False)),
    "an end that nobody doubts": ("W4", (written, found(3, 2, WHOLE[:4]), True)),
    "an old entry that nobody doubts": ("W4", (overwritten, found(2, 3, [1, 1, 1]), True)),
    "what was cut": ("W2", (overwritten, found(2, 3, [1, 1, 2, 1]), False)),
    "an older term": ("W6", (written, found(1, 1, WHOLE), False)),
    "no vote": ("W6", (written, found(3, 0, WHOLE), False)),
    "another vote": ("W6", (written, found(3, 1, WHOLE), False)),
    "no vote, though it is doubted": ("W6", (written, found(3, 0, WHOLE, is_vote_doubtful=True), False)),
    "an older term of a damaged disk": ("W6", (written, found(1, 1, WHOLE), True)),
    "a term that stood in one batch": ("W6", (half_voted, found(3, 2, WHOLE), False)),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_was_found_or_is_doubted_is_no_violation(name: str) -> None:
    disk, recovered, was_damaged = GOOD[name]
    assert [] == laws(disk(), recovered, was_damaged=was_damaged)


@pytest.mark.parametrize("name", DOCTORED)
def test_what_is_missing_without_a_doubt_is_a_violation(name: str) -> None:
    law, (disk, recovered, was_damaged) = DOCTORED[name]
    assert [law] == laws(disk(), recovered, was_damaged=was_damaged)


def test_what_is_known_to_be_lost_need_not_be_there_next_time() -> None:
    disk = written()
    assert [] == laws(disk, found(3, 2, WHOLE[:4], is_tail_doubtful=True), was_damaged=True)
    assert [] == laws(disk, found(3, 2, WHOLE[:4]), was_damaged=True)
    assert disk.log.had(6, 3)
    disk.sync_entries(3, 5, 6)
    assert ["W4"] == laws(disk, found(3, 2, WHOLE[:4]), was_damaged=True)


def test_last_batch_that_a_boot_writes_once_more_is_no_second_copy() -> None:
    disk = written()
    frame = encode_hard_state(HardState(GROUP, 4, 3, False))
    data, _ = encode_batch(SALT, 1, 5_000, 99, NO_DIGEST, [frame])
    disk.log.on_synced(segment_name(1), 5_000, data)
    disk.log.on_synced(segment_name(1), 5_000, data)
    assert (3, 2) == disk.log.sure
    disk.log.on_synced(segment_name(1), 6_000, encode_batch(SALT, 1, 6_000, 100, NO_DIGEST, [frame])[0])
    assert (4, 3) == disk.log.sure
