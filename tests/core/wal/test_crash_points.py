"""Goal: after a crash at any point the log is what was durable, and at most the batch in flight beside it (FAULTS W14).
Method: a log with rotation and deletion; at each write every subset of its sectors and every length of it is recovered,
the log goes on from there, and crashes there again."""

import pytest

from quantum.core.wal.segment import segment_name
from quantum.core.wal.writer import Append
from tests.core.wal.medium import Image, Medium, Reading

SEGMENT_BYTES = 4096
# Sizes that end batches in front of, at and behind the ends of sectors and segments; some of zeros.
PAYLOADS = [
    b"a" * 30,
    bytes(1100),
    b"b" * 363,
    b"c" * 1700,
    b"d" * 10,
    b"e" + bytes(600) + b"e",
    b"f" * 2900,
    b"g" * 371,
    b"h" * 372,
    b"i" * 1200,
    bytes(2000),
    b"j" * 100,
]
DROPS = {8, 11}  # writes before which the oldest segment goes


def built(count: int) -> Medium:
    medium = Medium(SEGMENT_BYTES)
    for number in range(count):
        if number in DROPS:
            medium.drop_front()
        medium.append(PAYLOADS[number])
    return medium


def check(image: Image, durable: Reading, data: bytes) -> Reading:
    """The image holds what was durable, and the batch in flight whole or not at all; nothing of it is damage."""
    found = Reading(image)
    assert [] == found.damages
    assert durable.data == found.data[: len(durable.data)]
    assert found.data[len(durable.data) :] in ([], [data])
    return found


@pytest.mark.parametrize("count", range(len(PAYLOADS)))
def test_a_crash_anywhere_in_a_write_leaves_the_durable_log(count: int) -> None:
    medium = built(count)
    durable = Reading(medium.image)
    assert [] == durable.damages
    medium.write(PAYLOADS[count])
    outcomes = []
    for image in [*medium.torn(), *medium.cut()]:
        found = check(image, durable, PAYLOADS[count])
        outcomes.append(len(found.data) - len(durable.data))
        assert not (found.torn is not None and outcomes[-1])
    assert {0, 1} == set(outcomes)
    assert outcomes[0] == 0
    assert outcomes[-1] == 1


@pytest.mark.parametrize("count", range(len(PAYLOADS)))
def test_the_log_goes_on_behind_every_crash(count: int) -> None:
    medium = built(count)
    durable = Reading(medium.image)
    medium.write(PAYLOADS[count])
    for image in medium.torn():
        found = Reading(image)
        again = Medium.restarted(SEGMENT_BYTES, image)
        for data in (b"x" * 40, b"y" * 700, b"z" * 3000):
            again.append(data)
        after = Reading(again.image)
        assert [] == after.damages
        assert [*found.data, b"x" * 40, b"y" * 700, b"z" * 3000] == after.data
        assert durable.data == after.data[: len(durable.data)]
        sequences = after.sequences
        assert list(range(sequences[0], sequences[0] + len(sequences))) == sequences


@pytest.mark.parametrize("count", [0, 1, 3, 5, 6, 10])
def test_a_second_crash_behind_a_first_leaves_the_durable_log_too(count: int) -> None:
    medium = built(count)
    medium.write(PAYLOADS[count])
    for image in medium.torn():
        again = Medium.restarted(SEGMENT_BYTES, image)
        durable = Reading(again.image)
        for data in (b"x" * 40, b"y" * 900):
            again.write(data)
            for second in again.torn():
                check(second, durable, data)
            again.in_flight = None
            again = Medium.restarted(SEGMENT_BYTES, image)


@pytest.mark.parametrize("count", range(1, len(PAYLOADS)))
def test_a_crash_while_the_last_batch_is_written_once_more_changes_nothing(count: int) -> None:
    medium = built(count)
    medium.write(PAYLOADS[count])
    for image in medium.torn():
        found = Reading(image)
        last = found.recovery.last
        assert last is not None
        again = Medium(SEGMENT_BYTES)
        again.image = image
        again.in_flight = Append(segment_name(last.segment), last.offset, found.recovery.last_bytes, {})
        for half in again.torn():
            assert found.data == Reading(half).data
            assert [] == Reading(half).damages


def test_recovering_the_recovered_log_gives_the_same() -> None:
    medium = built(7)
    medium.write(PAYLOADS[7])
    for image in medium.torn():
        once = Medium.restarted(SEGMENT_BYTES, image).image
        twice = Medium.restarted(SEGMENT_BYTES, once).image
        assert once == twice
        assert Reading(image).position == Reading(once).position
