"""What is due at one instant is done a part with each entry, in order, and what is overdue is as good as done.

Method: a partition driven by hand, with more sessions, wills and retained messages due at once than one entry may do.
"""

from quantum.core.broker.commands import (
    ON_PUBACK,
    ON_PUBREC,
    AcknowledgeDelivery,
    OpenSession,
    PublishMessage,
    SetPolicy,
)
from quantum.core.broker.expiry import AT_ONCE_MS, DUE_STEPS
from quantum.core.broker.message import Message
from quantum.core.broker.outgoing import SEND_STEPS
from quantum.core.mqtt.packets import Will
from tests.core.broker.tape import BIG, Tape

MANY = DUE_STEPS + 10
POLICY = SetPolicy(10_000, 100, 10_000, 1_000_000, 10_000, 1_000_000)


def _absent(expiry_s: int, delay_s: int) -> Tape:
    """A listener, and many sessions whose clients are gone since the same instant."""
    tape = Tape(POLICY)
    tape.open("w")
    tape.subscribe("w", "will/#")
    for number in range(MANY):
        client_id = f"c{number:05}"
        tape.open(
            client_id, expiry_s=expiry_s, will=Will(f"will/{client_id}", client_id.encode(), 1, False, b"", delay_s)
        )
        tape.cut(client_id)
    return tape


def _rest(tape: Tape) -> tuple[list[str], int]:
    """What is delivered until nothing is due, and with how many entries; the machine is another one each time."""
    wills = [payload for payload, _ in tape.delivered()]
    entries = 0
    while AT_ONCE_MS == tape.state.next_deadline_ms():
        twin = tape.restored()
        assert AT_ONCE_MS == twin.next_deadline_ms()
        tape.state = twin
        tape.do()
        wills += [payload for payload, _ in tape.delivered()]
        entries += 1
    return wills, entries


def test_sessions_that_end_at_one_instant_end_a_part_with_each_entry_and_in_order() -> None:
    tape = _absent(60, 60)
    tape.pass_s(60)
    ended = MANY + 1 - tape.state.counts()["sessions"]
    assert (True, AT_ONCE_MS) == (0 < ended <= DUE_STEPS, tape.state.next_deadline_ms())
    wills, entries = _rest(tape)
    assert [f"c{number:05}" for number in range(MANY)] == wills
    assert (1, 2) == (tape.state.counts()["sessions"], entries)  # a will's copy counts like a session's end


def test_session_with_much_that_ends_leaves_the_next_one_to_the_next_entry() -> None:
    tape = Tape(POLICY)
    tape.open("p")
    for client_id in ("a", "b"):
        tape.open(client_id, expiry_s=60)
        tape.subscribe(client_id, "t")
        tape.cut(client_id)
    for _ in range(DUE_STEPS):
        tape.publish("p", "t")
    tape.pass_s(60)
    assert 2 == tape.state.counts()["sessions"]
    tape.do()
    assert 1 == tape.state.counts()["sessions"]


def test_retained_messages_that_expire_at_one_instant_go_a_part_with_each_entry() -> None:
    tape = Tape(POLICY)
    tape.open("p")
    for number in range(MANY):
        tape.publish("p", f"t/{number}", retain=True, expiry_s=60)
    tape.pass_s(60)
    assert MANY - DUE_STEPS == tape.state.counts()["retained_messages"]
    tape.open("s")
    assert [] == tape.subscribe("s", "t/#").deliveries()
    tape.do()
    assert (0, 0) == (tape.state.counts()["retained_messages"], tape.state.next_deadline_ms())


def test_session_that_is_overdue_is_not_resumed() -> None:
    tape = _absent(60, BIG)
    last = f"c{MANY - 1:05}"
    tape.pass_s(60)
    assert last == tape.state.session_view(last)["client_id"]
    assert not tape.open(last, expiry_s=BIG).session_present
    wills, _ = _rest(tape)
    assert last in wills
    assert tape.state.session_view(last)["is_connected"]


def test_will_that_is_overdue_is_published_though_its_client_is_back() -> None:
    tape = _absent(BIG, 60)
    last = f"c{MANY - 1:05}"
    tape.pass_s(60)
    assert tape.state.session_view(last)["has_will"]
    assert tape.open(last, expiry_s=BIG).session_present
    assert last in [payload for payload, _ in tape.delivered()]
    assert not tape.state.session_view(last)["has_will"]


def test_what_an_entry_left_over_is_wanted_at_once_even_by_a_leader_whose_clock_is_behind() -> None:
    tape = _absent(60, 60)
    tape.pass_s(60)
    tape.now_ms -= 60_000
    assert AT_ONCE_MS == tape.state.next_deadline_ms()
    _rest(tape)
    assert 1 == tape.state.counts()["sessions"]


def _owed(count: int, expiry_s: int = BIG) -> Tape:
    """A session whose client is gone and that is owed so many messages, and their publisher."""
    tape = Tape(POLICY)
    tape.open("p")
    tape.open("s", expiry_s=BIG)
    tape.subscribe("s", "t")
    tape.cut("s")
    for number in range(count):
        tape.publish("p", "t", str(number).encode(), expiry_s=expiry_s)
    return tape


def _sent_until_idle(tape: Tape) -> tuple[list[str], list[int]]:
    """What is sent until nothing more is due, and how much of it with each entry; the machine is another one each time."""
    rows = tape.sent()
    counts = [len(rows)]
    while AT_ONCE_MS == tape.state.next_deadline_ms():
        twin = tape.restored()
        assert (tape.state.digest(), AT_ONCE_MS) == (twin.digest(), twin.next_deadline_ms())
        tape.state = twin
        tape.do()
        counts.append(len(tape.sent()))
        rows += tape.sent()
    return [payload for _, payload, _, _, _ in rows], counts


def test_who_comes_back_to_much_is_sent_a_part_with_each_entry_and_in_order() -> None:
    tape = _owed(2 * SEND_STEPS + 10)
    expected = [str(number) for number in range(2 * SEND_STEPS + 10)]
    for _ in range(2):  # first what waits, then the same as what was not acknowledged
        tape.open("s", expiry_s=BIG, receive_maximum=65_535)
        assert (expected, [SEND_STEPS, SEND_STEPS, 10]) == _sent_until_idle(tape)
        assert 0 == tape.state.next_deadline_ms()
        tape.cut("s")


def _coming_back(tape: Tape) -> tuple[OpenSession, int]:
    """The session's client comes back, and the conn_epoch that it is given."""
    return OpenSession("s", False, BIG, 65_535, 1), tape.epochs["s"] + 1


def test_what_is_published_meanwhile_does_not_overtake_what_is_still_to_be_sent() -> None:
    tape = _owed(SEND_STEPS + 1)
    tape.open("s", expiry_s=BIG, receive_maximum=65_535)
    _sent_until_idle(tape)
    opening, _ = _coming_back(tape)
    tape.do(opening, PublishMessage(tape.epochs["p"], 0, Message("t", b"newer", 1, False, b"", -1, "p")))
    assert [(str(SEND_STEPS - 1), True)] == [(payload, dup) for _, payload, _, _, dup in tape.sent()[-1:]]
    tape.do()
    assert [(str(SEND_STEPS), True), ("newer", False)] == [(payload, dup) for _, payload, _, _, dup in tape.sent()]


def test_pubrec_for_the_last_message_to_be_sent_again_leaves_nothing_to_wait_for() -> None:
    tape = _owed(0)
    for _ in range(SEND_STEPS + 1):
        tape.publish("p", "t", qos=2)
    tape.open("s", expiry_s=BIG, receive_maximum=65_535)
    _sent_until_idle(tape)
    opening, conn_epoch = _coming_back(tape)
    tape.do(opening, AcknowledgeDelivery("s", conn_epoch, SEND_STEPS + 1, ON_PUBREC, 0))
    assert (SEND_STEPS + 1, 0) == (len(tape.sent()), tape.state.next_deadline_ms())
    assert 0 == tape.restored().next_deadline_ms()


def test_acknowledgement_is_followed_by_the_next_message_whatever_else_the_entry_sent() -> None:
    tape = _owed(4 * SEND_STEPS)
    tape.open("s", expiry_s=BIG, receive_maximum=2 * SEND_STEPS)
    _sent_until_idle(tape)
    acks = [AcknowledgeDelivery("s", tape.epochs["s"], number, ON_PUBACK, 0) for number in range(1, 2 * SEND_STEPS + 1)]
    tape.do(*acks)
    assert (2 * SEND_STEPS, 0) == (len(tape.sent()), tape.state.next_deadline_ms())


def test_messages_that_expired_in_the_queue_are_dropped_a_part_with_each_entry() -> None:
    tape = _owed(SEND_STEPS + 10, expiry_s=5)
    tape.publish("p", "t", b"fresh")
    tape.pass_s(5)
    tape.open("s", expiry_s=BIG)
    assert SEND_STEPS == tape.count("expired")
    assert (["fresh"], [0, 1]) == _sent_until_idle(tape)


def test_session_that_waits_to_be_sent_more_and_goes_waits_no_more() -> None:
    tape = _owed(SEND_STEPS + 10)
    tape.open("s", expiry_s=BIG, receive_maximum=65_535)
    tape.cut("s")
    assert tape.state.next_deadline_ms() != AT_ONCE_MS
