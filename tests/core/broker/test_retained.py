"""The retained message of a topic is a register: set, replaced, deleted, expired, and read by SUBSCRIBE.

Method: a partition driven by hand. Source: MQTT 5.0 §3.3.1.3, §3.8.3.1.
"""

import pytest

from quantum.core.broker.commands import SetPolicy
from quantum.core.broker.effects import SendPublish, Subscribed
from quantum.core.broker.expiry import AT_ONCE_MS
from quantum.core.broker.message import Message
from quantum.core.broker.retained import READ_STEPS, Retained
from quantum.core.broker.retained_run import ANY_QOS, RetainedCursor
from quantum.core.mqtt.packets import Subscription
from tests.core.broker.tape import BIG, Tape


def _tape() -> Tape:
    tape = Tape()
    tape.open("p")
    return tape


def _read(tape: Tape, topic_filter: str, client_id: str = "reader") -> list[tuple[str, str, int]]:
    """A new ephemeral session subscribes: (topic, payload, qos)."""
    tape.open(client_id)
    subscribed = tape.subscribe(client_id, Subscription(topic_filter, 2))
    tape.close(client_id)
    return [(item.message.topic_name, item.message.payload.decode(), item.qos) for item in subscribed.deliveries()]


def test_last_retained_message_is_read() -> None:
    tape = _tape()
    for payload in (b"one", b"two"):
        assert 0x10 == tape.publish("p", "t", payload, retain=True)
    tape.publish("p", "t", b"not retained")
    assert [("t", "two", 1)] == _read(tape, "t")


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_empty_payload_deletes_and_is_delivered_live(qos: int) -> None:
    tape = _tape()
    tape.open("s")
    tape.subscribe("s", "t")
    tape.publish("p", "t", retain=True)
    tape.publish("p", "t", b"", qos=qos, retain=True)
    assert [("", ("s",))] == tape.delivered()
    assert [] == _read(tape, "t")
    assert (0, 0) == (tape.state.counts()["retained_messages"], tape.state.counts()["retained_bytes"])
    tape.publish("p", "t", b"", retain=True)


def test_qos_0_retained_message_is_delivered_live_and_kept() -> None:
    tape = _tape()
    tape.open("s", expiry_s=BIG)
    tape.subscribe("s", "t")
    assert 0 == tape.publish("p", "t", b"m", qos=0, retain=True)
    assert [("s", "m", 0, 0, False)] == tape.sent()
    assert [("t", "m", 0)] == _read(tape, "t")


@pytest.mark.parametrize(("handling", "first", "again"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
@pytest.mark.parametrize("expiry_s", [0, BIG])
def test_retain_handling(handling: int, first: int, again: int, expiry_s: int) -> None:
    tape = _tape()
    tape.publish("p", "t", b"m", retain=True)
    tape.open("s", expiry_s=expiry_s)
    for expected in (first, again):
        subscribed = tape.subscribe("s", Subscription("t", 1, retain_handling=handling))
        assert expected == len(subscribed.deliveries()) + len(tape.effects.sends)


def test_replicated_session_gets_retained_messages_through_its_window() -> None:
    tape = _tape()
    for name in ("t/b", "t/a", "t/c"):
        tape.publish("p", name, name.encode(), qos=2, retain=True)
    tape.publish("p", "t/0", b"zero", qos=0, retain=True)
    tape.open("s", expiry_s=BIG, receive_maximum=2)
    subscribed = tape.subscribe("s", Subscription("t/#", 1), subscription_id=5)
    assert ["t/0"] == [item.message.topic_name for item in subscribed.deliveries()]
    assert [("s", "t/a", 1, 1, False), ("s", "t/b", 1, 2, False)] == tape.sent()
    tape.state = tape.restored()
    tape.puback("s", 1)
    [send] = tape.effects.sends
    assert isinstance(send, SendPublish)
    assert (b"t/c", True, (5,)) == (send.message.payload, send.retain, send.subscription_ids)
    assert 1 == tape.count("delivered") - 1


def test_replay_is_exempt_from_the_limits_of_the_queue() -> None:
    tape = Tape(SetPolicy(10, 10, 1, 10, 100, 1000))
    tape.open("p")
    for number in range(5):
        tape.publish("p", f"t/{number}", retain=True)
    tape.open("s", expiry_s=BIG, receive_maximum=1)
    tape.subscribe("s", "t/#")
    assert 4 == tape.state.session_view("s")["queued_messages"]
    tape.publish("p", "t/0")
    assert 1 == tape.count("dropped", "queue_messages_max")


def test_identifier_and_granted_qos_stand_on_retained_messages() -> None:
    tape = _tape()
    tape.publish("p", "t", qos=2, retain=True)
    tape.open("s")
    [item] = tape.subscribe("s", Subscription("t", 1), subscription_id=8).deliveries()
    assert (1, (8,)) == (item.qos, item.subscription_ids)


def test_shared_subscription_gets_no_retained_messages() -> None:
    tape = _tape()
    tape.publish("p", "t", retain=True)
    assert [] == _read(tape, "$share/g/t")


def test_own_retained_message_is_not_returned_to_a_no_local_subscription() -> None:
    tape = _tape()
    tape.publish("p", "t", retain=True)
    assert [] == tape.subscribe("p", Subscription("t", 1, no_local=True)).deliveries()
    assert 1 == len(tape.subscribe("p", Subscription("t", 1)).deliveries())


def test_refused_filter_gets_no_retained_messages() -> None:
    tape = Tape(SetPolicy(10, 0, 10, 1000, 10, 1000))
    tape.open("p")
    tape.publish("p", "t", retain=True)
    assert [] == _read(tape, "t")


def test_retained_message_expires_in_replicated_time() -> None:
    tape = _tape()
    tape.publish("p", "t", expiry_s=10, retain=True)
    assert tape.now_ms + 10_000 == tape.state.next_deadline_ms()
    tape.now_ms += 9_999
    assert 1 == len(_read(tape, "t"))
    tape.now_ms += 1
    assert [] == _read(tape, "t")
    assert 0 == tape.state.counts()["retained_messages"]
    assert 0 == tape.state.next_deadline_ms()


def test_message_that_expires_at_once_is_not_replayed() -> None:
    tape = _tape()
    tape.publish("p", "t", expiry_s=0, retain=True)
    assert [] == _read(tape, "t")


def test_replacing_moves_the_expiry() -> None:
    tape = _tape()
    tape.publish("p", "t", expiry_s=10, retain=True)
    tape.publish("p", "t", expiry_s=20, retain=True)
    tape.pass_s(10)
    assert 1 == len(_read(tape, "t"))
    tape.publish("p", "t", retain=True)
    tape.pass_s(BIG)
    assert 1 == len(_read(tape, "t"))


def test_limits_refuse_a_new_topic_and_growth_and_leave_the_old_value() -> None:
    tape = Tape(SetPolicy(10, 10, 10, 1000, 2, 10))
    tape.open("p")
    tape.publish("p", "a", b"1234", retain=True)
    assert "retained_bytes_max" == tape.refused_by(tape.publish("p", "b", b"12345", retain=True))
    tape.publish("p", "b", b"1234", retain=True)
    assert "retained_messages_max" == tape.refused_by(tape.publish("p", "c", b"1", retain=True))
    assert "retained_bytes_max" == tape.refused_by(tape.publish("p", "b", b"12345", retain=True))
    assert [("b", "1234", 1)] == _read(tape, "b")
    assert 0x10 == tape.publish("p", "b", b"4321", retain=True)
    assert 0x10 == tape.publish("p", "c", b"", retain=True)
    assert (1, 2) == (tape.count("refused", "retained_messages_max"), tape.count("refused", "retained_bytes_max"))


def test_topic_of_thousands_of_levels_is_read_and_removed() -> None:
    store = Retained()
    topic_name = "a/" * 20_000 + "a"
    store.put(Message(topic_name, b"x", 1, True))
    for topic_filter in ("#", "a/+/#"):
        cursor = RetainedCursor(topic_filter, 0, "", ANY_QOS, "")
        assert 1 == len(store.read(cursor, 1, 100)[0])
        assert cursor.bound is None
    store.remove(topic_name)
    assert store.is_empty()


MANY = 2 * READ_STEPS + 10


def _filled(count: int = MANY, qos: int = 1) -> Tape:
    tape = Tape(SetPolicy(10, 100, 10_000, 1_000_000, 100_000, 100_000_000))
    tape.open("p")
    for number in range(count):
        tape.publish("p", f"t/{number:05}", b"%d" % number, qos=qos, retain=True)
    return tape


def _take_all(tape: Tape, subscribed: Subscribed) -> list[str]:
    """What an edge would send for the one run of an answer."""
    [run] = subscribed.retained
    payloads = [message.payload.decode() for message in run.rest()]
    while run.cursor.bound is not None:
        payloads += [message.payload.decode() for message in tape.state.read_retained(run.cursor)]
    return payloads


def test_no_entry_reads_more_than_so_many_retained_topics_for_all_who_subscribe() -> None:
    tape = _filled()
    tape.open("s")
    filters = [Subscription(f"{level}/#", 1) for level in ("t", "+", "nowhere")]
    [first, second] = tape.subscribe("s", *filters).retained
    assert READ_STEPS - 2 < len(first) + len(second) <= READ_STEPS + 1
    assert "t/#" == first.cursor.topic_filter


def test_rest_is_read_when_its_turn_comes_and_all_of_it() -> None:
    tape = _filled()
    tape.open("s")
    assert [str(number) for number in range(MANY)] == _take_all(tape, tape.subscribe("s", "t/#"))


def test_what_is_replaced_or_deleted_before_its_turn_was_delivered_live_and_is_not_read() -> None:
    tape = _filled()
    tape.open("s")
    subscribed = tape.subscribe("s", "t/#")
    tape.publish("p", f"t/{MANY - 1:05}", b"newer", retain=True)
    assert [("newer", ("s",))] == tape.delivered()
    tape.publish("p", f"t/{MANY - 2:05}", b"", retain=True)
    tape.publish("p", f"t/{MANY:05}", b"another", retain=True)
    tape.publish("p", "t/00000", b"newer than what is read already", retain=True)
    assert [str(number) for number in range(MANY - 2)] == _take_all(tape, subscribed)


def test_message_that_expires_before_its_turn_is_not_read() -> None:
    tape = _filled()
    tape.publish("p", "t/99999", b"short", retain=True, expiry_s=5)
    tape.open("s")
    subscribed = tape.subscribe("s", "t/#")
    tape.pass_s(5)
    assert "short" not in _take_all(tape, subscribed)


def test_own_messages_are_left_out_of_the_rest_too() -> None:
    tape = _filled()
    tape.open("q")
    tape.publish("q", "t/99999", b"other", retain=True)
    assert ["other"] == _take_all(tape, tape.subscribe("p", Subscription("t/#", 1, no_local=True)))


def test_kept_session_reads_on_as_its_window_opens() -> None:
    tape = _filled()
    tape.open("s", expiry_s=BIG, receive_maximum=7)
    tape.subscribe("s", "t/#")
    assert READ_STEPS - 7 == tape.state.session_view("s")["queued_messages"]
    sent = tape.sent()
    tape.publish("p", "t/x", b"live")
    assert [] == tape.sent()
    found: list[str] = []
    while sent:
        _, payload, _, packet_id, _ = sent.pop(0)
        found.append(payload)
        tape.puback("s", packet_id)
        sent += tape.sent()
        if len(found) % 50 == 0:
            restored = tape.restored()
            assert tape.state.digest() == restored.digest()
            assert tape.state.next_deadline_ms() == restored.next_deadline_ms()
            tape.state = restored
    assert [*[str(number) for number in range(MANY)], "live"] == found
    assert 0 == tape.state.counts()["queued_bytes"]


def test_kept_session_that_finds_little_reads_on_with_the_next_entries() -> None:
    tape = Tape(SetPolicy(10, 100, 10_000, 1_000_000, 100_000, 100_000_000))
    tape.open("p")
    for number in range(2 * READ_STEPS):
        tape.publish("p", f"{number:05}/y", retain=True)
    tape.publish("p", "z/x", b"found", retain=True)
    tape.open("s", expiry_s=BIG)
    tape.subscribe("s", "+/x")
    assert ([], AT_ONCE_MS) == (tape.sent(), tape.state.next_deadline_ms())
    sent: list[str] = []
    entries = 0
    while tape.state.next_deadline_ms():
        assert [] == sent
        tape.state = tape.restored()
        assert AT_ONCE_MS == tape.state.next_deadline_ms()
        tape.do()
        sent += [payload for _, payload, _, _, _ in tape.sent()]
        entries += 1
    assert (["found"], 2) == (sent, entries)


def test_absent_kept_session_goes_on_reading_when_it_is_back() -> None:
    tape = _filled()
    tape.open("s", expiry_s=BIG, receive_maximum=1)
    tape.subscribe("s", "t/#")
    tape.close("s")
    tape.state = tape.restored()
    tape.open("s", expiry_s=BIG, receive_maximum=5000)
    found = [payload for _, payload, _, _, _ in tape.sent()]
    while tape.state.next_deadline_ms():
        tape.do()
        found += [payload for _, payload, _, _, _ in tape.sent()]
    assert [str(number) for number in range(MANY)] == found


def test_session_that_ends_before_it_read_everything_leaves_nothing() -> None:
    tape = _filled()
    tape.open("s", expiry_s=BIG, receive_maximum=5000)
    tape.subscribe("s", "t/#")
    assert tape.state.next_deadline_ms()
    tape.close("s", expiry_s=0)
    assert (0, 0, 0) == (
        tape.state.next_deadline_ms(),
        tape.state.counts()["queued_messages"],
        tape.state.counts()["inflight_messages"],
    )


def test_deadline_to_read_on_is_withdrawn_where_acknowledgements_led_to_reading_first() -> None:
    tape = _filled()
    tape.open("s", expiry_s=BIG, receive_maximum=READ_STEPS + 1)
    tape.subscribe("s", "t/#")
    assert AT_ONCE_MS == tape.state.next_deadline_ms()
    tape.puback("s", 1)
    assert 0 == tape.state.next_deadline_ms() == tape.restored().next_deadline_ms()
