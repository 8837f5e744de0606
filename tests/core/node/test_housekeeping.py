"""Goal: no vote goes with a segment that is deleted. Method: housekeeping over a writer that fills segment after segment
with frames of no group."""

from quantum.core.node.housekeeping import Housekeeping
from quantum.core.node.snapshots import Snapshots
from quantum.core.wal.frame import HardState, encode_hard_state
from quantum.core.wal.requests import CreateFile, DeleteFiles
from quantum.core.wal.segment import segment_name
from quantum.core.wal.writer import LogPosition, Writer

SEGMENT = 4096


def test_segments_behind_the_last_hard_states_stay_whatever_is_in_them() -> None:
    writer = Writer(bytes(16), SEGMENT, SEGMENT, LogPosition(3, 0, 7, bytes(16)))
    for number in (1, 2, 3):
        writer.add_segment(number, SEGMENT)
    housekeeping = Housekeeping({}, writer, {}, ({}, []), Snapshots(), 1 << 40, 1 << 20, 0)
    deleted: list[str] = []
    for term in range(200):
        writer.add_hard_state(encode_hard_state(HardState(1, term, 0)), -1, term)
        append = writer.take_append()
        if append is not None:
            housekeeping.on_written(len(append.data))
            writer.on_durable()
        housekeeping.create_segments()
        housekeeping.advance()
        requests, housekeeping.requests = housekeeping.requests, []
        for request in requests:
            if isinstance(request, DeleteFiles):
                deleted += request.names
            else:
                assert isinstance(request, CreateFile)
            housekeeping.on_done(request.number)
    assert writer.segment > 4
    assert [segment_name(1), segment_name(2)] == deleted
