"""The retained message of a topic is a register: set, replaced, deleted, expired, and read by SUBSCRIBE.

Method: a partition driven by hand, and the tree of topics against a naive scan. Source: MQTT 5.0 §3.3.1.3, §3.8.3.1.
"""

import random

import pytest

from quantum.core.broker.commands import SetPolicy
from quantum.core.broker.effects import SendPublish
from quantum.core.broker.message import Message
from quantum.core.broker.retained import Retained
from quantum.core.mqtt.packets import Subscription
from tests.core.broker.naive import is_match_of
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


@pytest.mark.parametrize("seed", range(10))
def test_wildcard_reads_agree_with_a_naive_scan(seed: int) -> None:
    chance = random.Random(seed)
    store = Retained()
    held: dict[str, Message] = {}

    def name(words: list[str]) -> str:
        return "/".join(chance.choice(words) for _ in range(chance.randint(1, 4))) or "a"  # [MQTT-4.7.3-1]

    for _ in range(200):
        topic_name = name(["a", "b", "", "$x"])
        if topic_name in held and chance.random() < 0.5:
            del held[topic_name]
            store.remove(topic_name)
        else:
            held[topic_name] = Message(topic_name, b"x", 1, True)
            store.put(held[topic_name])
        for topic_filter in (name(["a", "b", "+", "", "$x"]), name(["a", "+", "$x"]) + "/#", "#"):
            expected = sorted(topic for topic in held if is_match_of(topic_filter, topic))
            assert expected == [message.topic_name for message in store.matching(topic_filter, 1)], topic_filter
    for topic_name in list(held):
        store.remove(topic_name)
    assert store.is_empty()


def test_topic_of_thousands_of_levels_is_read_and_removed() -> None:
    store = Retained()
    topic_name = "a/" * 20_000 + "a"
    store.put(Message(topic_name, b"x", 1, True))
    assert 1 == len(store.matching("#", 1)) == len(store.matching("a/+/#", 1))
    store.remove(topic_name)
    assert store.is_empty()
