"""Goal: whatever rots, what is recovered was written so, and what is not recovered is reported (FAULTS F27, F28, F34, F35,
W1). Method: a log of several segments; every bit turned, sectors made random or blank, batches written to wrong places,
files lost and cut; then the log goes on, and is read again."""

import google_crc32c
import pytest

from quantum.core.prng import Prng
from quantum.core.raft.membership import Membership
from quantum.core.raft.recovered import Recovered
from quantum.core.wal.batch import HEAD_BYTES, NO_DIGEST, SECTOR_BYTES, encode_batch
from quantum.core.wal.damage import Damage
from quantum.core.wal.frame import ENTRY_HEAD_BYTES, HardState, decode_frames, encode_entry_frame, encode_hard_state
from quantum.core.wal.recovery import LogDamaged, Recovery
from quantum.core.wal.replay import GroupLog, hard_state_of
from quantum.core.wal.segment import encode_head, identity_salt
from quantum.core.wal.writer import LogPosition
from tests.core.wal.medium import SALT, Image, Medium, Reading

SEGMENT_BYTES = 1024
VOTERS = Membership((1, 2, 3))


def written(count: int = 12) -> Medium:
    medium = Medium(SEGMENT_BYTES)
    medium.writer.add(encode_hard_state(HardState(1, 1, 2)), 1, 0)
    for number in range(count):
        medium.append(b"entry %d " % number * (1 + number % 3) * (1 + 30 * (number % 4 == 2)))
    return medium


def turned(image: Image, segment: int, at: int, bits: int) -> Image:
    data = image[segment]
    return {**image, segment: data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]}


def replayed(image: Image) -> Recovered:
    recovery = Recovery(SALT)
    log = GroupLog(1, 0)
    items: list[Damage] = []
    for number in sorted(image):
        recovery.on_segment(number, image[number])
        while (item := recovery.next_item()) is not None:
            if isinstance(item, Damage):
                items.append(item)
                log.on_damage(item)
            else:
                for frame in decode_frames(item.body):
                    log.on_frame(frame)
    for damage in recovery.end():
        items.append(damage)
        log.on_damage(damage)
    assert items == recovery.damages
    return log.recovered(0, 0, VOTERS, is_snapshot_lost=False)


def check(image: Image, truth: list[bytes]) -> Reading:
    """Nothing wrong comes back, and nothing is missing without a report."""
    found = Reading(image)
    for index, data in zip(found.indexes, found.data, strict=True):
        assert truth[index - 1] == data
    assert sorted(set(found.indexes)) == found.indexes
    recovered = replayed(image)
    missing = len(truth) - len(found.data)
    if found.indexes and found.indexes[0] > 1 and not found.damages:
        # A segment that is blank now was the first one: only the group knows that entries are missing.
        missing = 0
        assert recovered.is_tail_doubtful
        assert recovered.is_vote_doubtful
    assert missing <= sum(damage.lost_count for damage in found.damages)
    assert all(damage.first_lost <= damage.next_valid for damage in found.damages)
    for entry in recovered.entries:
        assert entry.data in (b"", truth[entry.index - 1])
    assert recovered.is_tail_doubtful or not found.damages
    assert recovered.is_vote_doubtful or (1, 2) == (recovered.current_term, recovered.voted_for)
    return found


def test_every_turned_bit_of_a_log_is_reported_and_costs_one_batch_at_most() -> None:
    medium = written()
    truth = Reading(medium.image).data
    assert 12 == len(truth)
    assert 3 <= len(medium.image)
    for number, data in medium.image.items():
        for at in range(len(data.rstrip(b"\0"))):
            for bit in range(8):
                found = check(turned(medium.image, number, at, 1 << bit), truth)
                assert [] != found.damages, (number, at, bit)
                assert 11 <= len(found.data)


def test_a_turned_bit_behind_the_log_costs_nothing() -> None:
    medium = written()
    truth = Reading(medium.image).data
    for number, data in medium.image.items():
        for at in range(len(data.rstrip(b"\0")), len(data)):
            found = check(turned(medium.image, number, at, 0x10), truth)
            assert truth == found.data
            assert found.damages or found.torn


def test_random_and_blank_sectors_never_bring_back_anything_wrong() -> None:
    prng = Prng(11)
    medium = written()
    reading = Reading(medium.image)
    for _ in range(400):
        number = 1 + prng.below(len(medium.image))
        sector = prng.below(SEGMENT_BYTES // SECTOR_BYTES) * SECTOR_BYTES
        data = medium.image[number]
        fill = prng.bytes(SECTOR_BYTES) if prng.chance(1, 2) else bytes(SECTOR_BYTES)
        image = {**medium.image, number: data[:sector] + fill + data[sector + SECTOR_BYTES :]}
        last = reading.recovery.last
        assert last is not None
        is_end = number > last.segment or (number == last.segment and sector + SECTOR_BYTES > last.offset)
        if is_end and not fill.strip(b"\0"):
            continue  # A blank sector at the end of a log is what a crash leaves: nobody can tell.
        check(image, reading.data)


def test_a_batch_written_over_another_place_is_missed_at_both() -> None:
    medium = written(10)
    before = dict(medium.image)
    medium.write(b"misdirected")
    append = medium.in_flight
    assert append is not None
    truth = Reading(medium.image).data
    for number, data in before.items():
        for at in range(0, len(data) - len(append.data), 37):
            image = {**medium.image, number: data[:at] + append.data + data[at + len(append.data) :]}
            found = check(image, truth)
            assert found.damages or found.torn, (number, at)


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_lost_segment_is_a_hole(gone: int) -> None:
    medium = written()
    truth = Reading(medium.image).data
    image = {number: data for number, data in medium.image.items() if number != gone}
    found = Reading(image)
    if gone == 1:
        assert 1 not in found.indexes  # Older segments go when a snapshot stands for them; the group's log misses it.
        assert replayed(image).is_tail_doubtful
        return
    check(image, truth)
    assert f"segment {gone} is missing, segment {gone + 1} follows {gone - 1}" == found.damages[0].text
    assert [gone] == [damage.segment for damage in found.damages]


def test_a_shortened_segment_is_reported_wherever_it_is_cut() -> None:
    medium = written()
    truth = Reading(medium.image).data
    for number, data in medium.image.items():
        if not data.strip(b"\0"):
            continue
        for size in range(0, len(data), 13):
            found = check({**medium.image, number: data[:size]}, truth)
            assert [] != found.damages, (number, size)


def test_the_log_goes_on_behind_damage_and_the_damage_is_noted() -> None:
    medium = written()
    for number, data in medium.image.items():
        for at in range(0, len(data.rstrip(b"\0")), 11):
            image = turned(medium.image, number, at, 0x04)
            first = Reading(image)
            recovered = replayed(image)
            again = Medium.restarted(SEGMENT_BYTES, image)
            again.index = recovered.entries[-1].index
            state = hard_state_of(1, recovered)
            again.writer.add_hard_state(encode_hard_state(state), 1, 1)
            again.append(b"x" * 40)
            assert replayed(again.image).is_tail_doubtful
            state.is_tail_doubtful = state.is_vote_doubtful = False
            again.writer.add_hard_state(encode_hard_state(state), 1, 2)
            again.append(b"y" * 40)
            second = Reading(again.image)
            assert [*first.data, b"x" * 40, b"y" * 40] == second.data
            keys = [(damage.segment, damage.offset, damage.first_lost, damage.next_valid) for damage in first.damages]
            assert keys == [
                (damage.segment, damage.offset, damage.first_lost, damage.next_valid) for damage in second.damages
            ]
            assert not replayed(again.image).is_tail_doubtful
            assert image[number] == again.image[number][: len(image[number])] or number == first.position.segment


def test_whoever_cannot_repair_refuses_all_damage() -> None:
    medium = written()
    for number, data in medium.image.items():
        for at in range(0, len(data.rstrip(b"\0")), 3):
            recovery = Recovery(SALT)
            image = turned(medium.image, number, at, 0x40)
            with pytest.raises(LogDamaged, match="segment"):
                for each in sorted(image):
                    recovery.on_segment(each, image[each])
                    while recovery.next_batch() is not None:
                        pass
                raise LogDamaged(f"not found before the end, {recovery.finish()}")


def test_foreign_copied_and_newer_segments_are_refused() -> None:
    medium = written()
    with pytest.raises(LogDamaged, match="belongs to another node"):
        Reading(medium.image, identity_salt("cluster", "other"))
    with pytest.raises(LogDamaged, match="segment 2 is a copy of segment 1"):
        Reading({**medium.image, 2: medium.image[1]})
    data = medium.image[1]
    newer = (3).to_bytes(4, "little") + data[12:64]
    with pytest.raises(LogDamaged, match="segment 1 has format 3, this version reads 2"):
        Reading({1: data[:4] + google_crc32c.value(newer).to_bytes(4, "little") + newer + data[64:]})
    older = (1).to_bytes(4, "little") + (1).to_bytes(8, "little") + (1).to_bytes(8, "little") + NO_DIGEST
    crc = google_crc32c.value(SALT + older).to_bytes(4, "little")
    with pytest.raises(LogDamaged, match="segment 1 has format 1, this version reads 2"):
        Reading({1: data[:4] + crc + older + data[44:]})


def test_a_head_has_its_golden_bytes() -> None:
    head = encode_head(bytes(range(16)), 7, 4096, 9, b"p" * 16)
    golden = "51534547 7fde8247 02000000 0700000000000000 0900000000000000" + "70" * 16
    assert bytes.fromhex(golden + "0010000000000000 000102030405060708090a0b") == head


def test_a_batch_in_a_payload_does_not_pass_for_one_of_the_log() -> None:
    medium = Medium(4096)
    medium.append(b"first")
    last = Reading(medium.image).recovery.last
    assert last is not None
    place = last.offset + last.size + HEAD_BYTES + ENTRY_HEAD_BYTES
    forged, _ = encode_batch(SALT, 1, place, 3, bytes(16), [encode_entry_frame(1, 2, 1, 0, b"forged")])
    medium.append(forged)
    end = place + len(forged)
    assert forged == medium.image[1][place:end]
    found = Reading(turned(medium.image, 1, end, 1))
    assert [b"first"] == found.data
    assert [2] == [damage.first_lost for damage in found.damages]


def test_files_of_two_times_are_refused() -> None:
    medium = written(4)
    older = dict(medium.image)
    one, other = Medium.restarted(SEGMENT_BYTES, older), Medium.restarted(SEGMENT_BYTES, older)
    for number in range(8):
        one.append(b"one %d" % number * 9)
        other.append(b"two %d" % number * 9)
    last = max(one.image)
    with pytest.raises(LogDamaged, match="not of one time"):
        Reading({number: (one if number < last else other).image[number] for number in one.image})


def test_an_empty_directory_begins_a_log() -> None:
    assert LogPosition(1, 0, 1, NO_DIGEST) == Reading({}).position
    assert LogPosition(1, 0, 1, NO_DIGEST) == Reading({1: bytes(SEGMENT_BYTES)}).position
