"""Goal: what a writer once reported as durable is recovered or doubted, after any crash and any one damaged batch (W1, W6).
Method: random records of two groups through the writer into bytes; the last write torn, then one bit of each batch turned;
what is read is held against every state from what was reported to what was written."""

import pytest

from quantum.core.prng import Prng
from quantum.core.raft.entry import COMMAND, LOST, Entry
from quantum.core.raft.membership import Membership
from quantum.core.raft.recovered import Recovered
from quantum.core.wal.damage import Damage
from quantum.core.wal.frame import (
    Frame,
    GroupEntry,
    HardState,
    Truncate,
    decode_frames,
    encode_entry_frame,
    encode_hard_state,
    encode_truncate,
)
from quantum.core.wal.recovery import Recovery
from quantum.core.wal.replay import GroupLog
from tests.core.wal.medium import SALT, Image, Medium

VOTERS = Membership((1, 2, 3))
GROUPS = (1, 2)
State = tuple[int, int, list[Entry]]  # term, vote, log


def recovered(image: Image) -> tuple[dict[int, Recovered], list[tuple[int, int]]]:
    """What is read of each group, and the places of all valid batches."""
    recovery = Recovery(SALT)
    logs = {group: GroupLog(group, 0) for group in GROUPS}
    places = []
    for number in sorted(image):
        recovery.on_segment(number, image[number])
        while (item := recovery.next_item()) is not None:
            if isinstance(item, Damage):
                for log in logs.values():
                    log.on_damage(item)
                continue
            places.append((item.segment, item.offset + item.size // 2))
            for frame in decode_frames(item.body):
                logs[frame.group].on_frame(frame)
    for damage in recovery.end():
        for log in logs.values():
            log.on_damage(damage)
    return {group: log.recovered(0, 0, VOTERS, is_snapshot_lost=False) for group, log in logs.items()}, places


class Run:
    """Two replicas that write what one leader after the other tells them."""

    def __init__(self, prng: Prng) -> None:
        self.prng = prng
        self.medium = Medium(2048)
        self.records: dict[int, list[Frame]] = {group: [] for group in GROUPS}
        self.reported = dict.fromkeys(GROUPS, 0)
        self._term = dict.fromkeys(GROUPS, 0)
        self._last = dict.fromkeys(GROUPS, 0)

    def _record(self, group: int, frame: Frame) -> None:
        writer = self.medium.writer
        self.records[group].append(frame)
        sequence = len(self.records[group])
        if isinstance(frame, HardState):
            writer.add_hard_state(encode_hard_state(frame), group, sequence)
        elif isinstance(frame, Truncate):
            writer.add(encode_truncate(frame), group, 0, sequence)
        else:
            assert isinstance(frame, GroupEntry)
            entry = frame.entry
            data = encode_entry_frame(group, entry.index, entry.term, entry.kind, entry.data)
            writer.add(data, group, entry.index, sequence)

    def step(self) -> None:
        prng = self.prng
        group = GROUPS[prng.below(2)]
        if not self._term[group] or prng.chance(1, 4):
            self._term[group] += 1
            self._record(group, HardState(group, self._term[group], prng.below(3)))
            if self._last[group] and prng.chance(1, 2):
                self._last[group] = prng.below(self._last[group])
                self._record(group, Truncate(group, self._last[group] + 1))
        for _ in range(prng.below(4)):
            self._last[group] += 1
            index, term = self._last[group], self._term[group]
            data = b"%d@%d " % (index, term) * (1 + prng.below(40))
            self._record(group, GroupEntry(group, Entry(index, term, COMMAND, data)))
        if prng.chance(1, 2):
            self.sync()
            self.write()

    def write(self) -> None:
        """Begin a batch, if there is anything to write."""
        medium = self.medium
        while medium.in_flight is None and not medium.writer.is_idle():
            wanted = medium.writer.take_create()
            if wanted is not None:
                medium.image[wanted[0]] = bytes(wanted[1])
                medium.writer.add_segment(*wanted)
            medium.in_flight = medium.writer.take_append()

    def sync(self) -> None:
        """The batch under way is durable."""
        if self.medium.in_flight is not None:
            self.medium.sync()
            self.reported.update(self.medium.writer.on_durable())

    def states(self, group: int) -> list[State]:
        """The group after each number of records."""
        term, vote = 0, 0
        log: list[Entry] = []
        found: list[State] = [(term, vote, [])]
        for frame in self.records[group]:
            if isinstance(frame, HardState):
                term, vote = frame.term, frame.voted_for
            elif isinstance(frame, Truncate):
                log = log[: frame.index - 1]
            elif isinstance(frame, GroupEntry):
                log = [*log, frame.entry]
            found.append((term, vote, log))
        return found


def check_intact(run: Run, image: Image) -> dict[int, list[Entry]]:
    """Without damage every group is as it was after some record from the last that was reported on; returns the logs."""
    found, _ = recovered(image)
    for group in GROUPS:
        each = found[group]
        assert not each.is_tail_doubtful
        assert not each.is_vote_doubtful
        expected = run.states(group)[run.reported[group] :]
        assert (each.current_term, each.voted_for, each.entries) in expected
    return {group: found[group].entries for group in GROUPS}


def check_damaged(run: Run, image: Image, logs: dict[int, list[Entry]]) -> None:
    found, _ = recovered(image)
    for group in GROUPS:
        each = found[group]
        assert each.is_tail_doubtful
        expected = run.states(group)[run.reported[group] :]
        if not each.is_vote_doubtful:
            assert (each.current_term, each.voted_for) in [(term, vote) for term, vote, _ in expected]
        log = logs[group]
        if each.entries and each.entries[-1] in log:
            # One leader a term, each with what the one before left: what is known behind the last hole is the log's.
            holes = [at for at, entry in enumerate(each.entries) if entry.kind == LOST]
            behind = holes[-1] + 1 if holes else 0
            assert log[behind : len(each.entries)] == each.entries[behind:]


@pytest.mark.parametrize("seed", range(40))
def test_what_was_reported_is_recovered_or_doubted(seed: int) -> None:
    prng = Prng(seed)
    run = Run(prng)
    for _ in range(25):
        run.step()
    images = list(run.medium.torn()) if run.medium.in_flight is not None else [run.medium.image]
    for image in images:
        logs = check_intact(run, image)
    for segment, at in recovered(images[-1])[1]:
        data = images[-1][segment]
        bits = 1 << prng.below(8)
        rotten = {**images[-1], segment: data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]}
        check_damaged(run, rotten, logs)
