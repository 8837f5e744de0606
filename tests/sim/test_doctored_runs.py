"""Goal: whatever one lie is told of a run that kept all promises, its oracle notices. Method: real runs on a tape; lies of
each kind at drawn positions, chosen so that no other course of events explains them."""

from collections.abc import Callable

import pytest

from quantum.core.mqtt.packets import NO_EXPIRY, QOS_0, QOS_2, V5
from quantum.core.prng import Prng
from quantum.sim import run, world
from quantum.sim.marks import Marks
from quantum.sim.scenario import MQTT, Scenario
from quantum.sim.session_register import NONE
from tests.sim.tape import Lie, Name, Tape, Told

LIES_MAX = 8  # of a kind and run
SEEDS = (3, 6, 11)


@pytest.fixture(scope="module")
def tapes() -> list[Tape]:
    """Of clean runs."""
    found: list[Tape] = []
    with pytest.MonkeyPatch.context() as patch:

        def new_tape(*arguments: Marks) -> Tape:
            found.append(Tape(*arguments))
            return found[-1]

        patch.setattr(world, "Promises", new_tape)
        for seed in SEEDS:
            outcome = run.run(Scenario(MQTT, seed))
            assert ("", "") == (outcome.law, outcome.facts[0])
    assert len(SEEDS) == len(found)
    return found


def test_truth_is_told_twice(tapes: list[Tape]) -> None:
    for tape in tapes:
        assert [] == tape.play({})
    assert 300 < sum(len(tape.deliveries()) for tape in tapes)


def lost(tape: Tape) -> list[Lie]:
    """Every copy that one session got of a message that it was owed."""
    lies: list[Lie] = []
    for _, _, session, message, _ in tape.deliveries():
        must = message.acked_at and message.expiry_s == NO_EXPIRY and message.key in session.delivered
        if must and not session.share_group and not session.has_left and session.owing(message) is not None:
            copies = [p for p, _, s, m, _ in tape.deliveries() if s is session and m is message]
            # Of its last incarnation only; one before had its own copy.
            if not any(message.key == f.packet().payload for f in _answers(tape, session.client_id)):
                lies.append({position: [] for position in copies})
    return lies


def _answers(tape: Tape, client_id: str) -> list[Told]:
    return [
        fact
        for fact in tape.told
        if fact.name == "on_delivery" and fact.arguments[0].client_id == client_id and fact.packet().retain
    ]


def twice_with_qos_2(tape: Tape) -> list[Lie]:
    """A QoS 2 message again."""
    return [
        {position: [fact, fact]}
        for position, fact, _, message, packet in tape.deliveries()
        if packet.qos == message.qos == QOS_2
    ]


def twice_without_dup(tape: Tape) -> list[Lie]:
    """A QoS 0 or 1 message again, of a publication that was sent once."""
    return [
        {position: [fact, fact]}
        for position, fact, _, message, packet in tape.deliveries()
        if packet.qos != QOS_2 and message.send_count == 1 and not packet.dup
    ]


def out_of_order(tape: Tape) -> list[Lie]:
    """Two messages that one session got one after the other, in the other order."""
    lies: list[Lie] = []
    last: dict[tuple[str, int, str, str, int, int, int], tuple[int, Told]] = {}
    for position, fact, session, message, packet in tape.deliveries():
        received = session.delivered.get(message.key)
        if session.share_group or message.send_count > 1 or packet.dup or received is None or received.count > 1:
            continue
        connection = message.connection if QOS_0 in (message.qos, packet.qos) else 0
        key = (session.client_id, session.incarnation, message.publisher, message.topic_name, message.qos, packet.qos)
        before = last.get((*key, connection))
        if before is not None and before[1].clock > max(message.sent_at, _incarnation_at(tape, session.client_id)):
            lies.append({before[0]: [fact], position: [before[1]]})
        last[(*key, connection)] = (position, fact)
    return lies


def _incarnation_at(tape: Tape, client_id: str) -> int:
    """The last fact at which its session may have begun."""
    names = ("on_connect", "on_connack", "on_session_ends")
    clocks = [fact.clock for fact in tape.told if fact.name in names and fact.arguments[0].client_id == client_id]
    return max(clocks, default=0)


def another_payload(tape: Tape) -> list[Lie]:
    """A byte more."""
    return [{p: [fact.changed(payload=packet.payload + b"!")]} for p, fact, _, _, packet in tape.deliveries()]


def another_topic(tape: Tape) -> list[Lie]:
    """A level more."""
    return [{p: [fact.changed(topic_name=packet.topic_name + "/x")]} for p, fact, _, _, packet in tape.deliveries()]


def other_properties(tape: Tape) -> list[Lie]:
    """A user property more."""
    return [
        {p: [fact.changed(properties=packet.properties + b"\x26\x00\x01x\x00\x01y")]}
        for p, fact, _, _, packet in tape.deliveries()
        if fact.arguments[2] == V5
    ]


def greater_qos(tape: Tape) -> list[Lie]:
    """More than the message has."""
    return [
        {p: [fact.changed(qos=message.qos + 1)]} for p, fact, _, message, _ in tape.deliveries() if message.qos < QOS_2
    ]


def retained_of_what_is_not(tape: Tape) -> list[Lie]:
    """RETAIN out of nowhere."""
    return [{p: [fact.changed(retain=True)]} for p, fact, _, message, _ in tape.deliveries() if not message.retain]


def strange_subscription_id(tape: Tape) -> list[Lie]:
    """An identifier that nobody uses."""
    return [
        {p: [fact.changed(subscription_ids=(*packet.subscription_ids, 99))]}
        for p, fact, _, _, packet in tape.deliveries()
        if fact.arguments[2] == V5
    ]


def no_subscription(tape: Tape) -> list[Lie]:
    """Given to a session that never subscribed to such a topic."""
    lies: list[Lie] = []
    born = {fact.arguments[0]: at for at, fact in enumerate(tape.told) if fact.name == "session"}
    topics = dict.fromkeys(message.topic_name for _, _, _, message, _ in tape.deliveries())
    strangers = {name: [who for who in born if not _ever_asked(tape, who, name)] for name in topics}
    for position, fact, _, message, _ in tape.deliveries():
        for stranger in strangers[message.topic_name]:
            if born[stranger] < position:
                packet, version = fact.arguments[1:]
                lies.append({position: [fact, fact.changed_arguments([Name(stranger), packet, version])]})
    return lies


def _ever_asked(tape: Tape, client_id: str, topic_name: str) -> bool:
    matcher = tape.inner.sessions[client_id].matcher
    return any(
        fact.name == "on_subscribe"
        and fact.arguments[0].client_id == client_id
        and matcher.is_match(fact.arguments[1].topic_filter, topic_name)
        for fact in tape.told
    )


def present_after_clean_start(tape: Tape) -> list[Lie]:
    """Session Present in spite of Clean Start."""
    return _connacks(tape, lambda present, clean, _: clean and not present)


def acknowledged_session_gone(tape: Tape) -> list[Lie]:
    """No session, though there surely was one."""
    return _connacks(tape, lambda present, clean, may_have_expired: present and not may_have_expired)


def _connacks(tape: Tape, is_fit: Callable[[bool, bool, bool], bool]) -> list[Lie]:
    lies: list[Lie] = []
    for position, fact in enumerate(tape.told):
        if fact.name != "on_connack":
            continue
        name, present, clean, may_have_expired, is_lasting = fact.arguments
        # A stray CONNECT may excuse what follows.
        if not is_fit(present, clean, may_have_expired) or (
            present and tape.inner.sessions[name.client_id].register.may_be(NONE)
        ):
            continue
        told = fact.changed_arguments([name, not present, clean, may_have_expired, is_lasting])
        lies.append({position: [told]})
    return lies


def old_retained_value(tape: Tape) -> list[Lie]:
    """The reader of the end finds what was there before the last."""
    lies: list[Lie] = []
    position = next(at for at, fact in enumerate(tape.told) if fact.name == "check_retained")
    fact = tape.told[position]
    reader, found = fact.arguments
    for topic_name in found:
        writes = [m for m in tape.inner.published.values() if m.retain and m.topic_name == topic_name and m.acked_at]
        for old in writes:
            if not old.is_delete and old.send_count == 1 and any(old.acked_at < new.sent_at for new in writes):
                lies.append({position: [fact.changed_arguments([reader, {**found, topic_name: old.key}])]})
    return lies


def no_retained_value(tape: Tape) -> list[Lie]:
    """The reader of the end finds nothing, though nobody deleted anything."""
    lies: list[Lie] = []
    position = next(at for at, fact in enumerate(tape.told) if fact.name == "check_retained")
    fact = tape.told[position]
    reader, found = fact.arguments
    for topic_name, value in found.items():
        writes = [m for m in tape.inner.published.values() if m.retain and m.topic_name == topic_name]
        last = tape.inner.published.get(value)
        if last is not None and not any(m.is_delete and (m.acked_at or m.sent_at) >= last.sent_at for m in writes):
            rest = {name: key for name, key in found.items() if name != topic_name}
            lies.append({position: [fact.changed_arguments([reader, rest])]})
    return lies


KINDS: dict[str, tuple[Callable[[Tape], list[Lie]], tuple[str, ...]]] = {
    "lost": (lost, ("ACK",)),
    "twice with QoS 2": (twice_with_qos_2, ("ONCE",)),
    "twice without DUP": (twice_without_dup, ("M2", "M5")),
    "out of order": (out_of_order, ("ORDER",)),
    "another payload": (another_payload, ("M4",)),
    "another topic": (another_topic, ("M4",)),
    "other properties": (other_properties, ("M4",)),
    "greater QoS": (greater_qos, ("M7",)),
    "retained of what is not": (retained_of_what_is_not, ("M7",)),
    "strange Subscription Identifier": (strange_subscription_id, ("M7",)),
    "no subscription": (no_subscription, ("M17",)),
    "present after a clean start": (present_after_clean_start, ("M9",)),
    "acknowledged session gone": (acknowledged_session_gone, ("ACK",)),
    "old retained value": (old_retained_value, ("M8",)),
    "no retained value": (no_retained_value, ("M8",)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_lie_is_noticed(tapes: list[Tape], kind: str) -> None:
    find, laws = KINDS[kind]
    count = 0
    for number, tape in enumerate(tapes):
        lies = find(tape)
        order = Prng(number).stream(kind).permutation(len(lies))
        for at in order[:LIES_MAX]:
            found = tape.play(lies[at])
            assert [law for law in found if law in laws], f"{kind}: told at {sorted(lies[at])}, found {found}"
            count += 1
    assert count > 0
