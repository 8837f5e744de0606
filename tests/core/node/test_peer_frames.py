"""Goal: nothing a network does to a frame reaches the core, and nothing raises. Method: frames damaged in every way, and
nodes that are fed with rubbish, with frames of strangers, of the removed, of the past and of the future."""

import google_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum.core.broker.commands import Entry, encode_entry
from quantum.core.causes import (
    PEER_FOREIGN_CLUSTER,
    PEER_FRAME_DAMAGED,
    PEER_ITEM_REFUSED,
    PEER_MISDELIVERED,
    PEER_REMOVED,
    PEER_STALE_PROCESS,
    PEER_VERSION_UNKNOWN,
    Cause,
)
from quantum.core.flow import CauseLedger
from quantum.core.node.clock import Clock
from quantum.core.node.node import PARTITION
from quantum.core.node.peer_frames import (
    FORWARD,
    HEAD_BYTES,
    ITEMS_BYTES_SOFT,
    RAFT,
    SNAPSHOT_END,
    VERSION,
    Item,
    PeerCodec,
    PeerFrame,
)
from quantum.core.node.peers import SILENCE_MS, Peers
from tests.core.node.cluster import Cluster

ITEMS = st.lists(st.builds(Item, st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=60)), max_size=5)


def fields(items: list[Item]) -> list[tuple[int, int, bytes]]:
    return [(item.kind, item.group, item.body) for item in items]


def frame_of(items: list[Item], cluster: str = "c", sender: int = 2, receiver: int = 1, nonce: int = 7) -> bytes:
    (frame,) = PeerCodec(cluster, sender, nonce).encode(receiver, items)
    return frame


def decoded(frame: bytes) -> PeerFrame | Cause:
    return PeerCodec("c", 1, 9).decode(frame)


@given(ITEMS, st.integers(0, 2**64 - 1))
def test_what_is_encoded_is_decoded(items: list[Item], nonce: int) -> None:
    frame = decoded(frame_of(items, nonce=nonce))
    assert isinstance(frame, PeerFrame)
    assert (2, nonce) == (frame.sender, frame.nonce)
    assert fields(items) == fields(frame.items)


@given(ITEMS, st.data())
def test_any_flipped_bit_is_noticed(items: list[Item], data: st.DataObject) -> None:
    frame = bytearray(frame_of(items))
    at = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[at // 8] ^= 1 << at % 8
    assert isinstance(decoded(bytes(frame)), Cause)


@given(ITEMS, st.data())
def test_any_cut_frame_is_noticed(items: list[Item], data: st.DataObject) -> None:
    frame = frame_of(items)
    assert PEER_FRAME_DAMAGED is decoded(frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(st.binary(max_size=200))
def test_rubbish_is_damaged(data: bytes) -> None:
    assert isinstance(decoded(data), Cause)
    assert isinstance(decoded(b"QPFR" + data), Cause)


def resealed(frame: bytes) -> bytes:
    """The frame with a checksum that holds: what only a broken program sends."""
    crc: int = google_crc32c.extend(google_crc32c.value(b"c"), frame[20:])
    return frame[:16] + crc.to_bytes(4, "little") + frame[20:]


@given(st.integers(0, 2**32 - 1))
def test_an_absurd_length_allocates_nothing(size: int) -> None:
    frame = bytearray(frame_of([Item(RAFT, 1, b"abc")]))
    frame[HEAD_BYTES + 5 : HEAD_BYTES + 9] = size.to_bytes(4, "little")
    found = decoded(resealed(bytes(frame)))
    assert isinstance(found, PeerFrame) if size == 3 else isinstance(found, Cause) or size < 3


def test_foreign_and_misdelivered_frames_and_other_versions_have_a_cause_each() -> None:
    assert PEER_FOREIGN_CLUSTER is decoded(frame_of([], cluster="other"))
    assert PEER_MISDELIVERED is decoded(frame_of([], receiver=3))
    assert PEER_MISDELIVERED is decoded(frame_of([], sender=1))
    newer = bytearray(frame_of([]))
    newer[4] = VERSION + 1
    assert PEER_VERSION_UNKNOWN is decoded(bytes(newer))


def test_much_to_say_becomes_several_frames_in_order() -> None:
    items = [Item(RAFT, number, bytes(ITEMS_BYTES_SOFT // 3)) for number in range(8)]
    frames = PeerCodec("c", 2, 7).encode(1, items)
    assert len(frames) > 1
    found: list[tuple[int, int, bytes]] = []
    for each in frames:
        frame = decoded(each)
        assert isinstance(frame, PeerFrame)
        found += fields(frame.items)
    assert fields(items) == found


def listening() -> tuple[Peers, Clock, CauseLedger]:
    causes = CauseLedger()
    clock = Clock()
    peers = Peers(1, 9, causes, clock)
    peers.open("c")
    return peers, clock, causes


def test_a_replaced_process_is_not_listened_to_any_more() -> None:
    peers, clock, causes = listening()
    clock.now_ms = 1_000
    assert peers.on_frame(frame_of([], nonce=7)) is not None
    assert [] == peers.take_lost()
    clock.now_ms = 1_000 + SILENCE_MS
    assert peers.on_frame(frame_of([], nonce=8)) is not None
    assert [2] == peers.take_lost()
    assert peers.on_frame(frame_of([], nonce=7)) is None
    assert 1 == causes.counts[PEER_STALE_PROCESS.number]
    clock.now_ms = 1_000 + SILENCE_MS + 10
    assert peers.on_frame(frame_of([], nonce=8)) is not None


def test_a_removed_node_is_not_listened_to() -> None:
    peers, _, causes = listening()
    peers.on_removed(2)
    assert peers.on_frame(frame_of([])) is None
    assert 1 == causes.counts[PEER_REMOVED.number]


def test_strangers_cannot_fill_the_memory() -> None:
    peers, _, causes = listening()
    for number in range(2, 2000):
        peers.on_frame(frame_of([], sender=number))
    assert 1000 < causes.counts[PEER_REMOVED.number]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, SNAPSHOT_END + 2), st.integers(0, 2), st.binary(max_size=80))
def test_a_leader_survives_any_item_of_a_peer(kind: int, group: int, body: bytes) -> None:
    member = SERVING.members[LEADER]
    before = counted()
    member.inputs.peer_frames.append(frame_of([Item(kind, group, body)], "cluster", SILENT, LEADER, 12_345))
    SERVING.turn(member)
    assert "" == member.failure
    assert LEADER == SERVING.leader()
    if kind in (0, SNAPSHOT_END + 1, SNAPSHOT_END + 2):
        assert before + 1 == counted()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.binary(max_size=40))
def test_a_forwarded_entry_that_is_none_is_not_appended(incarnation: int, forward_seq: int, rows: bytes) -> None:
    member = SERVING.members[LEADER]
    last_index = member.up.storage.groups[PARTITION].raft.last_index
    head = encode_entry(Entry(0, SILENT, incarnation, forward_seq, []))
    body = head[:-1] + b"\xc1" + rows  # a byte that msgpack never uses
    member.inputs.peer_frames.append(frame_of([Item(FORWARD, 1, body)], "cluster", SILENT, LEADER, 12_345))
    before = counted()
    SERVING.turn(member)
    assert before + 1 == counted()
    assert last_index == member.up.storage.groups[PARTITION].raft.last_index


def counted() -> int:
    return SERVING.members[LEADER].up.edge.causes.counts.get(PEER_ITEM_REFUSED.number, 0)


def test_an_item_that_is_not_understood_is_counted() -> None:
    before = counted()
    items = [Item(99, 1, b""), Item(RAFT, 1, b"\xff"), Item(RAFT, 77, b""), Item(FORWARD, 2, b"")]
    SERVING.members[LEADER].inputs.peer_frames.append(frame_of(items, "cluster", SILENT, LEADER, 12_345))
    SERVING.turn(SERVING.members[LEADER])
    assert before + 4 == counted()


SERVING = Cluster()
LEADER = SERVING.leader()
SILENT = 1 if LEADER != 1 else 2  # another process speaks in its name
SERVING.kill(SILENT)
SERVING.pass_time(2 * SILENCE_MS)
