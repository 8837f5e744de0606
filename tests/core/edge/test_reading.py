"""A connection is read unless something holds it back, and the driver is told of the difference only.

Method: the pauses and resumes of one turn, with every order of reasons.
"""

import itertools

import pytest

from quantum.core.edge.connections import EdgeConnection
from quantum.core.edge.reading import BY_BACKLOG, BY_KEPT, BY_WINDOW, Reading
from quantum.core.mqtt.connection import ServerConnection

REASONS = [BY_WINDOW, BY_KEPT, BY_BACKLOG]


def _connection() -> EdgeConnection:
    return EdgeConnection(7, ServerConnection(1000, 0), "", "", "")


@pytest.mark.parametrize("order", list(itertools.permutations(REASONS)))
def test_connection_is_read_on_when_the_last_reason_is_over(order: tuple[int, ...]) -> None:
    reading = Reading()
    connection = _connection()
    for reason in REASONS:
        reading.pause(connection, reason)
        reading.pause(connection, reason)
    assert ([7], []) == (reading.take_pauses(), reading.take_resumes())
    for reason in order:
        assert ([], []) == (reading.take_pauses(), reading.take_resumes())
        reading.resume(connection, reason)
    assert ([], [7]) == (reading.take_pauses(), reading.take_resumes())


@pytest.mark.parametrize("again", [BY_WINDOW, BY_BACKLOG])
def test_pause_behind_a_resume_of_the_same_turn_stands(again: int) -> None:
    reading = Reading()
    connection = _connection()
    reading.pause(connection, BY_BACKLOG)
    assert [7] == reading.take_pauses()
    reading.resume(connection, BY_BACKLOG)
    reading.pause(connection, again)
    assert ([], []) == (reading.take_pauses(), reading.take_resumes())
    reading.resume(connection, again)
    assert ([], [7]) == (reading.take_pauses(), reading.take_resumes())


def test_pause_that_is_over_in_its_own_turn_is_not_told() -> None:
    reading = Reading()
    connection = _connection()
    reading.pause(connection, BY_KEPT)
    reading.resume(connection, BY_KEPT)
    assert ([], []) == (reading.take_pauses(), reading.take_resumes())
