"""Whom a publish reaches: matching, overlapping, options, granted QoS, and routes that are never stale.

Method: tables for the rules; random filters and topics against a naive matcher.
Source: MQTT 5.0 §4.7, §3.8.3.1, §3.3.4.
"""

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import FrameType

import pytest

from quantum.core.broker.commands import SetPolicy
from quantum.core.broker.effects import SendPublish, Unsubscribed
from quantum.core.broker.subscriptions import AT_ONCE_MAX, SWEEP_MAX, Subscriber, SubscriptionRecord, Subscriptions
from quantum.core.mqtt.packets import Subscription
from tests.core.broker.naive import is_match_of
from tests.core.broker.tape import BIG, POLICY, Tape


@pytest.mark.parametrize(
    ("topic_filter", "topic_name", "is_match"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "sport", True),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("+/monitor", "$SYS/monitor", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/+", "$SYS/x", True),
        ("+", "$x", False),
        ("a/#", "a/$x", True),
        ("a/+", "a/$x", True),
        ("ACCOUNTS", "Accounts", False),
        ("a", "a", True),
        ("a/+/c", "a//c", True),
    ],
)
def test_filter_matches_as_the_specification_says(topic_filter: str, topic_name: str, is_match: bool) -> None:
    assert is_match == is_match_of(topic_filter, topic_name)
    tape = Tape()
    tape.open("p")
    tape.open("s")
    tape.subscribe("s", topic_filter)
    assert (0 if is_match else 0x10) == tape.publish("p", topic_name)
    assert (("s",) if is_match else ()) == tuple(r.client_id for r in tape.state.route(topic_name).receivers)


@pytest.mark.parametrize("seed", range(20))
def test_random_subscriptions_reach_whom_a_naive_matcher_says(seed: int) -> None:
    chance = random.Random(seed)
    index = Subscriptions()
    held: dict[tuple[str, str], SubscriptionRecord] = {}
    subscribers = {client_id: Subscriber(client_id) for client_id in "xyz"}

    def topic(words: str) -> str:
        return "/".join(chance.choice(words) for _ in range(chance.randint(1, 4)))

    topics = [topic("abc$") for _ in range(12)]
    for _ in range(300):
        client_id = chance.choice("xyz")
        topic_filter = topic("abc+$")
        if chance.random() < 0.3:
            topic_filter += "/#"
        key = (client_id, topic_filter)
        if key in held and chance.random() < 0.6:
            index.remove(held.pop(key))
        else:
            held[key] = SubscriptionRecord(subscribers[client_id], topic_filter, chance.randrange(3), False, False, 0)
            index.add(held[key], 0)
        for topic_name in topics:
            expected: dict[str, int] = {}
            for record in held.values():
                if is_match_of(record.topic_filter, topic_name):
                    client_id = record.subscriber.client_id
                    expected[client_id] = max(expected.get(client_id, 0), record.qos)
            found = [(receiver.client_id, receiver.qos) for receiver in index.fanout(topic_name).route.replicated]
            assert sorted(expected.items()) == found, topic_name
    assert len(held) == index.count
    for record in held.values():
        index.remove(record)
    assert index.is_empty()


def test_overlapping_subscriptions_make_one_copy_with_all_identifiers() -> None:
    tape = Tape()
    tape.open("p")
    tape.open("s", expiry_s=BIG)
    tape.subscribe("s", Subscription("a/b", 0), subscription_id=9)
    tape.subscribe("s", Subscription("a/+", 2), subscription_id=3)
    tape.subscribe("s", Subscription("a/#", 1), Subscription("#", 1), subscription_id=3)
    tape.subscribe("s", Subscription("+/b", 1))
    tape.publish("p", "a/b", qos=2)
    [send] = tape.effects.sends
    assert isinstance(send, SendPublish)
    assert (2, (3, 3, 3, 9)) == (send.qos, send.subscription_ids)


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("published", [1, 2])
def test_delivery_qos_is_the_lower_one(granted: int, published: int) -> None:
    tape = Tape()
    tape.open("p")
    tape.open("s", expiry_s=BIG)
    assert [granted] == tape.subscribe("s", Subscription("t", granted)).reason_codes
    tape.publish("p", "t", qos=published)
    assert [min(granted, published)] == [row[2] for row in tape.sent()]


@pytest.mark.parametrize("expiry_s", [0, BIG])
def test_no_local_keeps_a_client_from_hearing_itself(expiry_s: int) -> None:
    tape = Tape()
    tape.open("c", expiry_s=expiry_s)
    tape.open("other", expiry_s=expiry_s)
    for client_id in ("c", "other"):
        tape.subscribe(client_id, Subscription("t", 1, no_local=True))
    tape.publish("c", "t")
    if expiry_s:
        assert ["other"] == [row[0] for row in tape.sent()]
    else:
        assert [("x", ("c", "other"))] == tape.delivered()  # the edge leaves out the publisher
    assert 1 == tape.count("created")
    tape.unsubscribe("other", "t")
    assert 0x10 == tape.publish("c", "t")
    assert ([], []) == (tape.effects.sends, tape.effects.deliveries)


def test_no_local_yields_to_an_overlapping_subscription_without_it() -> None:
    tape = Tape()
    tape.open("c", expiry_s=BIG)
    tape.subscribe("c", Subscription("t", 1, no_local=True), Subscription("#", 1))
    assert 0 == tape.publish("c", "t")
    assert 1 == len(tape.sent())


@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("retain_as_published", [True, False])
def test_retain_as_published(retain: bool, retain_as_published: bool) -> None:
    tape = Tape()
    tape.open("p")
    tape.open("s", expiry_s=BIG)
    tape.subscribe("s", Subscription("t", 1, retain_as_published=retain_as_published))
    tape.publish("p", "t", retain=retain)
    [send] = tape.effects.sends
    assert isinstance(send, SendPublish)
    assert (retain and retain_as_published) == send.retain


def test_subscribing_again_replaces_the_subscription() -> None:
    tape = Tape()
    tape.open("p")
    tape.open("s", expiry_s=BIG)
    tape.subscribe("s", Subscription("t", 2), subscription_id=1)
    tape.subscribe("s", Subscription("t", 0), subscription_id=2)
    tape.publish("p", "t")
    [send] = tape.effects.sends
    assert isinstance(send, SendPublish)
    assert (0, (2,)) == (send.qos, send.subscription_ids)
    assert 1 == tape.state.counts()["subscriptions"]


def test_unsubscribe_answers_each_filter_and_ends_new_matches_only() -> None:
    tape = Tape()
    tape.open("p")
    tape.open("s", expiry_s=BIG, receive_maximum=1)
    tape.subscribe("s", "a", "b/+")
    tape.publish("p", "a", b"one")
    tape.publish("p", "a", b"two")
    result = tape.unsubscribe("s", "a", "a", "b/+", "c")
    assert isinstance(result, Unsubscribed)
    assert [0, 0x11, 0, 0x11] == result.reason_codes
    assert 0x10 == tape.publish("p", "a")
    tape.puback("s", 1)
    assert [("s", "two", 1, 2, False)] == tape.sent()


def test_subscriptions_max_refuses_new_filters_only() -> None:
    tape = Tape(SetPolicy(10, 2, 10, 1000, 10, 1000))
    tape.open("s")
    assert [1, 1, 0x97] == tape.subscribe("s", *[Subscription(name, 1) for name in "abc"]).reason_codes
    assert [2, 0x97] == tape.subscribe("s", Subscription("a", 2), Subscription("$share/g/c", 1)).reason_codes
    tape.unsubscribe("s", "b")
    assert [1] == tape.subscribe("s", Subscription("c", 1)).reason_codes


def test_ephemeral_receivers_share_one_item_with_their_route() -> None:
    tape = Tape()
    tape.open("p")
    for client_id in ("b", "a", "c"):
        tape.open(client_id)
        tape.subscribe(client_id, Subscription("t", 1), Subscription("+", 0))
    tape.publish("p", "t")
    assert [("x", ("a", "b", "c"))] == tape.delivered()
    [(message, route)] = tape.effects.deliveries
    assert route is tape.state.route("t")
    assert (1, 3, 3) == (message.number, tape.count("created"), tape.count("delivered"))
    assert [tape.epochs[r.client_id] for r in route.receivers] == [r.conn_epoch for r in route.receivers]


def test_route_is_the_same_object_until_a_subscription_changes_it() -> None:
    tape = Tape()
    for client_id in ("a", "b"):
        tape.open(client_id)
    tape.subscribe("a", "t")
    route = tape.state.route("t")
    other = tape.state.route("u")
    assert route is tape.state.route("t")
    tape.subscribe("b", "t")
    assert ["a", "b"] == [r.client_id for r in tape.state.route("t").receivers]
    assert other is tape.state.route("u")  # an exact filter cuts its own topic only
    tape.subscribe("b", "+")
    assert ["b"] == [r.client_id for r in tape.state.route("u").receivers]
    assert route.number != tape.state.route("t").number
    tape.close("b")
    assert ["a"] == [r.client_id for r in tape.state.route("t").receivers]
    assert () == tape.state.route("u").receivers


def test_route_of_a_new_ephemeral_session_has_its_new_connection() -> None:
    tape = Tape()
    tape.open("a")
    tape.subscribe("a", "t")
    tape.state.route("t")
    tape.open("a")
    assert () == tape.state.route("t").receivers
    tape.subscribe("a", "t")
    assert [tape.epochs["a"]] == [r.conn_epoch for r in tape.state.route("t").receivers]


@pytest.mark.parametrize(("fanouts_max", "receivers_max", "kept_max"), [(10, 1000, 10), (1000, 12, 6)])
def test_kept_routes_are_bounded(fanouts_max: int, receivers_max: int, kept_max: int) -> None:
    index = Subscriptions(0, fanouts_max, receivers_max)
    for client_id in "ab":
        index.add(SubscriptionRecord(Subscriber(client_id), "#", 1, False, False, 0), 0)
    most = 0
    for number in range(35):
        assert 2 == len(index.fanout(f"t/{number}").route.replicated)
        most = max(most, index.kept_fanouts())
    assert kept_max == most


def test_routes_that_are_cut_are_let_go_of_a_few_with_each_entry_and_only_once_at_a_time() -> None:
    index = Subscriptions()
    for cut in range(3):
        for number in range(20):
            index.fanout(f"t/{number}")
        index.add(SubscriptionRecord(Subscriber(f"c{cut}"), "t/#", 1, False, False, 0), 0)
        assert (0, 20) == (index.kept_fanouts(), index.discarded_fanouts())
    assert 3 == len(index.fanout("t/1").route.replicated)
    for left in (12, 4, 0, 0):
        index.sweep(8)
        assert left == index.discarded_fanouts()
    assert 1 == index.kept_fanouts()


def test_100_000_wildcard_subscriptions_come_and_go_without_leaving_a_node() -> None:
    index = Subscriptions()
    records = [SubscriptionRecord(Subscriber(f"c{n}"), f"fleet/+/{n}/#", 1, False, False, 0) for n in range(100_000)]
    for record in records:
        index.add(record, 0)
    assert ["c77"] == [r.client_id for r in index.fanout("fleet/x/77/speed").route.replicated]
    for record in records:
        index.remove(record)
    assert index.is_empty()


def test_many_subscriptions_of_a_session_that_ended_match_nothing_and_are_swept() -> None:
    """Beside a naive list: sessions with many filters come and go, and the sweeping is as slow as can be."""
    chance = random.Random(7)
    index = Subscriptions()
    held: dict[str, dict[str, SubscriptionRecord]] = {}
    subscribers: dict[str, Subscriber] = {}
    filters = [f"a/{number}/+" for number in range(AT_ONCE_MAX)] + ["a/1/x", "a/#", "#", "$share/g/a/#"]
    topics = ["a/1/x", "a/2/y", "b"]
    for _ in range(60):
        client_id = chance.choice("xyz")
        if client_id in held:
            index.remove_all(subscribers.pop(client_id), held.pop(client_id))
        else:
            subscriber = subscribers[client_id] = Subscriber(client_id)
            records = [SubscriptionRecord(subscriber, each, chance.randrange(3), False, False, 0) for each in filters]
            held[client_id] = {record.topic_filter: record for record in records}
            for record in records:
                index.add(record, 0)
            for topic_filter in chance.sample(filters, 3):
                index.remove(held[client_id].pop(topic_filter))
        index.sweep(chance.choice([0, 1, 50, 1000]))
        for topic_name in topics:
            expected: dict[str, int] = {}
            for client_id, records_of in held.items():
                for record in records_of.values():
                    if not record.topic_filter.startswith("$") and is_match_of(record.topic_filter, topic_name):
                        expected[client_id] = max(expected.get(client_id, 0), record.qos)
            found = [(receiver.client_id, receiver.qos) for receiver in index.fanout(topic_name).route.replicated]
            assert sorted(expected.items()) == found, topic_name
        members = [client_id for client_id, records_of in held.items() if "$share/g/a/#" in records_of]
        assert bool(members) == ("$share/g/a/#" in index.groups)
        assert sum(len(records_of) for records_of in held.values()) == index.count
    for client_id, records_of in held.items():
        index.remove_all(subscribers[client_id], records_of)
    assert 0 == index.count
    assert not index.is_empty()
    index.sweep(10_000)
    assert index.is_empty()


def test_what_a_session_leaves_is_swept_by_the_entries_that_follow() -> None:
    tape = Tape(replace(POLICY, subscriptions_max=2 * SWEEP_MAX))
    tape.open("s")
    tape.subscribe("s", *[Subscription(f"a/{number}/+", 0) for number in range(2 * SWEEP_MAX)])
    index = tape.state._partition.subscriptions
    tape.close("s")
    assert 0 == index.count
    assert not index.is_empty()
    for _ in range(3):
        tape.open("p")
        tape.close("p")
    assert index.is_empty()


def lines_of(step: Callable[[], object]) -> int:
    """How many lines of Python a step runs through."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        step()
    finally:
        sys.settrace(before)
    return count


def test_a_session_with_many_subscriptions_connects_and_ends_as_quickly_as_one_with_few() -> None:
    counts: list[list[int]] = []
    for size in (AT_ONCE_MAX + 10, 20 * AT_ONCE_MAX):
        tape = Tape(replace(POLICY, subscriptions_max=size))
        tape.open("s", expiry_s=BIG)
        tape.subscribe("s", "$share/g/a", *[f"a/{number}/+" for number in range(size - 1)])
        lines = [lines_of(partial(tape.cut, "s"))]
        for clean_start in (False, False, True):
            lines.append(lines_of(partial(tape.open, "s", clean_start=clean_start, expiry_s=BIG)))
        counts.append(lines)
        assert 0 == tape.state.counts()["subscriptions"]
    assert counts[0] == counts[1]
