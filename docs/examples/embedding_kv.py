"""A replicated map from keys to values: the state machine, and one member with its log. No sockets, no threads, no MQTT.

`embedding_cluster.py` beside it makes three of them.
"""

import msgpack

from quantum.core.group import Replica
from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.core.raft.membership import Membership
from quantum.core.raft.recovered import Recovered
from quantum.core.state_machine import BucketCutter
from quantum.core.wal.damage import Damage
from quantum.core.wal.frame import decode_frames, encode_hard_state
from quantum.core.wal.recovery import Recovery
from quantum.core.wal.replay import GroupLog, hard_state_of
from quantum.core.wal.segment import segment_name, segment_number
from quantum.core.wal.writer import LogPosition, Writer

GROUP = 1
SALT = b"embedding example"  # ties a log to its owner: bytes of another one do not pass
SEGMENT_BYTES = 16_384
VOTERS = Membership((1, 2, 3))


class KeyValues:
    """The state machine: what every member applies in the same order, and how its state becomes bytes."""

    bucket_count = 1

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.cutter = BucketCutter(self.encode_bucket)

    def apply(self, index: int, data: bytes, decoded: object) -> object:
        key, value = msgpack.unpackb(data)
        self.cutter.before_change(0)
        self.values[key] = value
        return key, value  # the effect, for whoever waits for this index

    def encode_bucket(self, number: int) -> bytes:
        packed: bytes = msgpack.packb(sorted(self.values.items()))
        return packed

    def decode_bucket(self, number: int, data: bytes) -> None:
        self.values = dict(msgpack.unpackb(data))

    def on_restored(self) -> None: ...

    def reset(self) -> None:
        self.values = {}

    def digest(self) -> bytes:
        return self.encode_bucket(0)


class Member:
    """One process: a replica, and the log on its disk. `files` is all that outlives it."""

    def __init__(self, number: int, files: dict[str, bytearray], starts: int, now_ms: int) -> None:
        self.files = files
        self.machine = KeyValues()
        self.replica = Replica(GROUP, self.machine)
        recovered, position = recover(files)
        self.writer = Writer(SALT, SEGMENT_BYTES, SEGMENT_BYTES // 2, position)
        for name, content in files.items():
            self.writer.add_segment(segment_number(name), len(content))
        # What was found in one batch only stands in a second one before anything rests on it.
        self.writer.add_hard_state(encode_hard_state(hard_state_of(GROUP, recovered)), GROUP, 0)
        self.flush()
        self.replica.start(number, RaftConfig(), Prng(number << 32 | starts), recovered, now_ms)

    def flush(self) -> None:
        """Make everything that waits durable. A real program calls `on_durable` when fdatasync has returned."""
        while True:
            while (segment := self.writer.take_create()) is not None:
                self.files[segment_name(segment[0])] = bytearray(segment[1])
                self.writer.add_segment(*segment)
            if (append := self.writer.take_append()) is None:
                return
            self.files[append.name][append.offset : append.offset + len(append.data)] = append.data
            if sequence := self.writer.on_durable().get(GROUP):
                self.replica.on_persisted(sequence)

    def turn(self, now_ms: int) -> list[tuple[int, bytes]]:
        """All that is due. Returns messages, which never say more than the disk holds."""
        self.replica.on_clock(now_ms)
        self.replica.write(self.writer)
        self.flush()
        self.replica.apply()
        return self.replica.take_messages()


def recover(files: dict[str, bytearray]) -> tuple[Recovered, LogPosition]:
    """What the log says when a process starts, and what it can no longer say."""
    log, recovery = GroupLog(GROUP, 0), Recovery(SALT)
    for name, content in sorted(files.items()):
        recovery.on_segment(segment_number(name), bytes(content))
        while (item := recovery.next_item()) is not None:
            if isinstance(item, Damage):
                log.on_damage(item)
            else:
                for frame in decode_frames(item.body):
                    log.on_frame(frame)
    for damage in recovery.end():
        log.on_damage(damage)
    recovered = log.recovered(0, 0, VOTERS, is_snapshot_lost=False)
    if not files:
        # The fresh disk of a first voter must not count on itself alone: another one may have voted under its number.
        recovered.is_tail_doubtful = recovered.is_vote_doubtful = True
    return recovered, recovery.position()
