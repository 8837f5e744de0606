"""Goal: the register check says "no order explains this" exactly when there is none. Method: small drawn histories, decided
by trying every order, and a few by hand."""

from itertools import permutations

import pytest

from quantum.core.prng import Prng
from quantum.sim.registers import ANY, KEEP, NO_LANE, OPEN_END, Operation, RegisterCheck


def is_explained(operations: list[Operation], initial: int = 0) -> bool:
    """By trying every subset of what is optional, in every order."""
    required = [operation for operation in operations if not operation.is_optional]
    optional = [operation for operation in operations if operation.is_optional]
    for bits in range(1 << len(optional)):
        chosen = required + [operation for at, operation in enumerate(optional) if bits >> at & 1]
        if any(_fits(order, initial) for order in permutations(chosen)):
            return True
    return False


def _fits(order: tuple[Operation, ...], initial: int) -> bool:
    value = initial
    for at, operation in enumerate(order):
        for later in order[at + 1 :]:
            if later.end < operation.begin:
                return False
            if later.lane == operation.lane != NO_LANE and later.begin < operation.begin:
                return False
        if operation.expects not in (ANY, value):
            return False
        if operation.sets != KEEP:
            value = operation.sets
    return True


def drawn(prng: Prng) -> list[Operation]:
    """Up to six operations on up to three values."""
    count = prng.between(2, 6)
    instants = prng.permutation(2 * count)
    operations: list[Operation] = []
    for at in range(count):
        begin, end = sorted(instants[2 * at : 2 * at + 2])
        is_read = prng.chance(1, 2)
        is_optional = not is_read and prng.chance(1, 4)
        operations.append(
            Operation(
                f"operation {at}",
                prng.below(3) if is_read else ANY,
                KEEP if is_read else prng.below(3),
                begin,
                OPEN_END if is_optional and prng.chance(1, 2) else end,
                NO_LANE if is_read else prng.below(2),
                is_optional,
            )
        )
    return operations


@pytest.mark.parametrize("block", range(8))
def test_verdict_is_that_of_every_order_tried(block: int) -> None:
    verdicts = [0, 0]
    for number in range(60):
        operations = drawn(Prng(block).stream(f"history {number}"))
        check = RegisterCheck(0)
        is_good = check.run(operations) is None
        assert not check.is_undecided
        assert is_explained(operations) == is_good, operations
        verdicts[is_good] += 1
    assert min(verdicts) > 5


def test_finding_names_the_read_and_what_the_register_could_hold() -> None:
    written = Operation("a write", ANY, 7, 1, 2)
    read = Operation("a read", 0, KEEP, 3, 4)
    finding = RegisterCheck(0).run([written, read])
    assert finding is not None
    assert "a read" == finding.operation.name
    assert [7] == finding.values


def test_too_many_open_writes_are_undecided_and_not_wrong() -> None:
    writes = [Operation(f"write {at}", ANY, at, at, OPEN_END, is_optional=True) for at in range(1, 40)]
    check = RegisterCheck(0)
    assert check.run([*writes, Operation("a read", 100, KEEP, 50, 51)]) is None
    assert check.is_undecided
