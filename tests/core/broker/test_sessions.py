"""Sessions begin, resume, are taken over, expire and end as MQTT 5.0 §3.1.2 and §4.1 say, fenced by conn_epoch.

Method: a partition driven by hand, looked at through its effects and its operators' view.
"""

import pytest

from quantum.core.broker.commands import (
    CLOSED_NORMALLY,
    CLOSED_WITH_WILL,
    NEVER_S,
    ON_PUBACK,
    AcknowledgeDelivery,
    CloseSession,
    Command,
    DropDelivery,
    OpenSession,
    PublishMessage,
    ReleaseMessage,
    SetPolicy,
    SubscribeSession,
    UnsubscribeSession,
)
from quantum.core.broker.message import Message
from quantum.core.causes import SLOW_READER
from quantum.core.mqtt.packets import Subscription
from tests.core.broker.tape import BIG, POLICY, Tape


@pytest.mark.parametrize(
    ("first_expiry_s", "clean_start", "is_cut_first", "session_present"),
    [
        (0, False, True, False),
        (0, False, False, False),
        (0, True, False, False),
        (BIG, False, True, True),
        (BIG, False, False, True),
        (BIG, True, True, False),
        (BIG, True, False, False),
        (NEVER_S, False, True, True),
    ],
)
def test_session_present_means_the_session_existed(
    first_expiry_s: int, clean_start: bool, is_cut_first: bool, session_present: bool
) -> None:
    tape = Tape()
    first = tape.open("c", expiry_s=first_expiry_s)
    tape.subscribe("c", "a")
    if is_cut_first:
        tape.cut("c")
    second = tape.open("c", expiry_s=BIG, clean_start=clean_start)
    assert session_present == second.session_present
    assert session_present == (first.session_epoch == second.session_epoch)
    assert (["a"] if session_present else []) == tape.state.session_view("c")["subscriptions"]
    assert first.conn_epoch < second.conn_epoch
    assert {"sessions": 1, "connected": 1}.items() <= tape.state.counts().items()


@pytest.mark.parametrize(("first", "second"), [(0, BIG), (BIG, 0)])
def test_kind_of_session_is_settled_at_its_creation(first: int, second: int) -> None:
    tape = Tape()
    assert (first == 0) == tape.open("c", expiry_s=first).is_ephemeral
    tape.cut("c")
    opened = tape.open("c", expiry_s=second)
    if first:
        assert opened.session_present
        assert not opened.is_ephemeral
    else:
        assert not opened.session_present
        assert not opened.is_ephemeral


def test_replicated_session_reopened_with_expiry_0_ends_with_its_connection() -> None:
    tape = Tape()
    tape.open("c", expiry_s=BIG)
    tape.open("c", expiry_s=0)
    tape.cut("c")
    assert {} == tape.state.session_view("c")


def test_takeover_closes_the_old_connection_with_its_cause() -> None:
    tape = Tape()
    old = tape.open("c", expiry_s=BIG, edge=3, conn_id=7)
    tape.open("c", expiry_s=BIG, edge=4, conn_id=8)
    [close] = tape.effects.closes
    assert ("c", old.conn_epoch, 3, 7, "session_taken_over") == (
        close.client_id,
        close.conn_epoch,
        close.edge,
        close.conn_id,
        close.cause.id,
    )


def test_reconnect_after_the_end_of_the_connection_closes_nothing() -> None:
    tape = Tape()
    tape.open("c", expiry_s=BIG)
    tape.cut("c")
    tape.open("c", expiry_s=BIG)
    assert [] == tape.effects.closes


def _commands_of(client_id: str, conn_epoch: int) -> list[Command]:
    return [
        CloseSession(client_id, conn_epoch, CLOSED_NORMALLY, 5),
        SubscribeSession(client_id, conn_epoch, [Subscription("b", 1)], 0),
        UnsubscribeSession(client_id, conn_epoch, ["a"]),
        PublishMessage(conn_epoch, 1, Message("a", b"x", 2, True, b"", -1, client_id)),
        ReleaseMessage(client_id, conn_epoch, 9),
        AcknowledgeDelivery(client_id, conn_epoch, 1, ON_PUBACK, 0),
        DropDelivery(client_id, conn_epoch, 1, SLOW_READER.number),
    ]


def _prepared() -> Tape:
    """A session `c` with a subscription, a message in flight with packet id 1 and a received packet id 9."""
    tape = Tape()
    tape.open("c", expiry_s=BIG)
    tape.subscribe("c", "a")
    tape.publish("c", "a", qos=1)
    tape.publish("c", "nobody", qos=2, packet_id=9)
    return tape


@pytest.mark.parametrize("which", range(7))
@pytest.mark.parametrize("end", ["taken over", "cut", "never opened"])
def test_command_with_a_stale_epoch_changes_nothing(which: int, end: str) -> None:
    tape = _prepared()
    client_id = "c"
    epoch = tape.epochs["c"]
    if end == "taken over":
        tape.open("c", expiry_s=BIG)
    elif end == "cut":
        tape.cut("c")
    else:
        client_id = "stranger"
    before = [tape.state.encode_bucket(number) for number in range(1, tape.state.bucket_count)]
    for stale in (epoch, 0):
        command = _commands_of(client_id, stale)[which]
        assert "stale_epoch" == tape.refused_by(tape.one(command))
        assert ([], []) == (tape.effects.sends, tape.effects.deliveries)
    assert before == [tape.state.encode_bucket(number) for number in range(1, tape.state.bucket_count)]


@pytest.mark.parametrize("which", range(7))
def test_same_command_with_the_current_epoch_changes_something(which: int) -> None:
    tape = _prepared()
    before = tape.memory()
    result = tape.one(_commands_of("c", tape.epochs["c"])[which])
    if isinstance(result, int):
        assert result in (0, 0x10)
    assert before != tape.memory()


@pytest.mark.parametrize("expiry_s", [1, BIG])
def test_session_ends_exactly_at_its_expiry(expiry_s: int) -> None:
    tape = Tape()
    tape.open("c", expiry_s=expiry_s)
    tape.cut("c")
    assert tape.now_ms + expiry_s * 1000 == tape.state.next_deadline_ms()
    tape.now_ms += expiry_s * 1000 - 1
    tape.do()
    assert tape.state.session_view("c")
    tape.now_ms += 1
    tape.do()
    assert {} == tape.state.session_view("c")
    assert 0 == tape.state.next_deadline_ms()


def test_session_that_never_expires_has_no_deadline() -> None:
    tape = Tape()
    tape.open("c", expiry_s=NEVER_S)
    tape.cut("c")
    assert 0 == tape.state.next_deadline_ms()
    tape.pass_s(100 * 365 * 86_400)
    assert tape.state.session_view("c")


def test_session_does_not_expire_while_connected() -> None:
    tape = Tape()
    tape.open("c", expiry_s=1)
    tape.cut("c")
    tape.open("c", expiry_s=1)
    tape.pass_s(BIG)
    assert tape.state.session_view("c")["is_connected"]


@pytest.mark.parametrize(("expiry_s", "ends_after_s"), [(0, 0), (5, 5), (-1, 60)])
def test_disconnect_may_override_the_expiry(expiry_s: int, ends_after_s: int) -> None:
    tape = Tape()
    tape.open("c", expiry_s=60)
    tape.close("c", expiry_s=expiry_s)
    if ends_after_s:
        tape.pass_s(ends_after_s - 1)
        assert tape.state.session_view("c")
        tape.pass_s(1)
    assert {} == tape.state.session_view("c")


def test_disconnect_cannot_keep_an_ephemeral_session() -> None:
    tape = Tape()
    tape.open("c", expiry_s=0)
    tape.close("c", expiry_s=60)
    assert {} == tape.state.session_view("c")


def test_replicated_time_never_goes_back() -> None:
    tape = Tape()
    tape.open("c", expiry_s=10)
    tape.cut("c")
    tape.now_ms -= 5_000
    assert tape.now_ms + 5_000 == tape.do().stamp_ms
    tape.now_ms += 5_000 + 9_999
    tape.do()
    assert tape.state.session_view("c")


def test_sessions_max_refuses_the_next_one_and_lets_known_ones_in() -> None:
    tape = Tape(SetPolicy(2, 100, 100, 10_000, 100, 10_000))
    tape.open("a", expiry_s=BIG)
    tape.open("b")
    refused = tape.one(OpenSession("c", True, 0, 10, 1))
    assert "sessions_max" == tape.refused_by(refused)
    assert tape.open("a", expiry_s=BIG).session_present
    assert not tape.open("b", clean_start=True).session_present
    tape.close("b")
    assert not tape.open("c").session_present


def test_session_end_takes_everything_of_it_along() -> None:
    tape = Tape()
    tape.open("p")
    tape.open("c", expiry_s=10, receive_maximum=1)
    tape.subscribe("c", "a/#", "$share/g/b", "a/1")
    for qos in (1, 2):
        tape.publish("p", "a/1", qos=qos)
    tape.publish("c", "x", qos=2, packet_id=5)
    tape.cut("c")
    tape.pass_s(10)
    assert 2 == tape.count("dropped", "session_ended")
    assert 0x10 == tape.publish("p", "a/1")
    assert 0x10 == tape.publish("p", "b")
    tape.close("p")
    assert set(tape.state.counts().values()) == {0}


def test_policy_is_known_once_the_log_set_it() -> None:
    tape = Tape()
    assert tape.state.has_policy(POLICY)
    assert not tape.state.has_policy(SetPolicy(1, 1, 1, 1, 1, 1))
    assert tape.restored().has_policy(POLICY)


def test_close_with_will_of_a_session_without_one_publishes_nothing() -> None:
    tape = Tape()
    tape.open("c")
    tape.close("c", CLOSED_WITH_WILL)
    assert 0 == tape.count("accepted")
