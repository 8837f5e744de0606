"""Goal: a node that is of no use and does not say so is caught. Method: answers to `/readyz`, good ones and doctored."""

import pytest

from quantum.core.node.outputs import AdminReply
from quantum.sim.answer_oracle import AnswerOracle
from quantum.sim.book import Book
from quantum.sim.marks import Marks


def laws(reply: AdminReply | None, *, is_led: bool) -> list[str]:
    book = Book(Marks())
    AnswerOracle(book).on_answer(1, reply, is_led=is_led)
    return [each.law for each in book.violations]


@pytest.mark.parametrize(
    ("reply", "is_led"),
    [
        (AdminReply(1, 200, {"ready": True, "reasons": []}), True),
        (AdminReply(1, 503, {"ready": False, "reasons": ["not_ready: no leader"]}), False),
        (AdminReply(1, 503, {"ready": False, "reasons": ["not_ready: the edge is being opened"]}), True),
    ],
)
def test_an_answer_that_says_what_is_the_matter_is_no_violation(reply: AdminReply, is_led: bool) -> None:
    assert [] == laws(reply, is_led=is_led)


@pytest.mark.parametrize(
    ("reply", "is_led"),
    [
        (None, True),
        (AdminReply(1, 200, {"ready": True, "reasons": []}), False),
        (AdminReply(1, 200, {"ready": True, "reasons": ["not_ready: no leader"]}), True),
        (AdminReply(1, 503, {"ready": False, "reasons": []}), False),
        (AdminReply(1, 503, {"ready": False, "reasons": [""]}), False),
        (AdminReply(1, 503, {"ready": False}), False),
        (AdminReply(1, 404, {"error": "no resource"}), True),
    ],
)
def test_silence_and_a_lie_are_violations(reply: AdminReply | None, is_led: bool) -> None:
    assert ["L10"] == laws(reply, is_led=is_led)
