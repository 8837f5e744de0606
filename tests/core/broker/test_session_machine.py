"""Goal: sessions do what MQTT says in any order of events, across connections, takeovers, expiry and restarts. Method: a
state machine of hypothesis drives the broker's state and the naive model with the same entries; both must agree after each,
and what a client can see of its own must hold by itself: identifiers in use once, the window, nothing again behind its
PUBREC."""

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from quantum.core.broker.commands import (
    CLOSED_NORMALLY,
    CLOSED_WITH_WILL,
    NEVER_S,
    ON_PUBACK,
    ON_PUBCOMP,
    ON_PUBREC,
    AcknowledgeDelivery,
    CloseSession,
    Command,
    Entry,
    OpenEdge,
    OpenSession,
    PublishMessage,
    ReleaseMessage,
    SubscribeSession,
    UnsubscribeSession,
    encode_entry,
)
from quantum.core.broker.effects import Effects, SendPublish, SessionOpened
from quantum.core.broker.message import Message
from quantum.core.broker.partition import BUCKET_COUNT
from quantum.core.broker.state import BrokerState
from quantum.core.mqtt.packets import NO_EXPIRY, Subscription, Will
from quantum.sim.comparison import compare, compare_edges, compare_state
from quantum.sim.model import Model
from quantum.sim.model_session import ModelEffects

EDGE = 1
STEPS = {1: ON_PUBACK, 2: ON_PUBREC}
CLIENT_IDS = st.sampled_from(["a", "b", "c"])
TOPIC_NAMES = st.sampled_from(["x", "x/y"])
TOPIC_FILTERS = st.sampled_from(["#", "x", "x/#", "+", "$share/g/x/#", "$share/g/#", "$share/h/x"])
SESSION_EXPIRIES_S = st.sampled_from([600, NEVER_S, 10, 1, 0])
RECEIVE_MAXIMA = st.sampled_from([1, 2, 65535])
MESSAGE_EXPIRIES_S = st.sampled_from([NO_EXPIRY, NO_EXPIRY, 0, 2, 20])
PACKET_IDS = st.integers(1, 3)
QOS = st.integers(0, 2)
WILLS = st.none() | st.builds(
    Will,
    TOPIC_NAMES,
    st.just(b"will"),
    QOS,
    st.booleans(),
    st.just(b""),
    st.sampled_from([0, 1, 60]),
    MESSAGE_EXPIRIES_S,
)


@dataclass
class Seen:
    """What one client with a replicated session knows itself of the messages it was sent."""

    awaited: dict[int, tuple[int, bytes]] = field(default_factory=dict)  # packet id → (step it owes, payload)
    unsent: dict[int, bytes] = field(default_factory=dict)  # those of an earlier connection, not repeated yet


class Sessions(RuleBasedStateMachine):
    """Three clients at one edge. A rule is one entry with one command."""

    def __init__(self) -> None:
        super().__init__()
        self.state = BrokerState()
        self.model = Model()
        self.index = 0
        self.now_ms = 1_000_000
        self.forward_seq = 0
        self.conn_id = 0
        self.message_number = 0
        self.epochs: dict[str, int] = {}  # of the connected
        self.maxima: dict[str, int] = {}
        self.seen: dict[str, Seen] = {}
        self.published: dict[str, PublishMessage] = {}  # the last of QoS 2, for saying it again
        self.entry([OpenEdge(EDGE, 1, 7)])

    def entry(self, commands: list[Command]) -> Effects:
        """One entry through both; they must agree."""
        self.index += 1
        entry = Entry(self.now_ms, EDGE, 1, self.forward_seq, commands)
        self.forward_seq += 1
        effects = self.state.apply(self.index, encode_entry(entry), None)
        assert [] == compare(self.told(entry), effects)
        for close in effects.closes:
            self.epochs.pop(close.client_id, None)
        for command, result in zip(commands, effects.results, strict=True):
            if isinstance(command, OpenSession):
                assert isinstance(result, SessionOpened)
                self.on_opened(command, result)
        for send in effects.sends:
            if isinstance(send, SendPublish):
                self.on_publish(send)
            else:
                self.on_pubrel(send.client_id, send.packet_id)
        return effects

    def told(self, entry: Entry) -> ModelEffects:
        """What the model says of an entry."""
        return self.model.apply(entry)

    # What a client sees.

    def on_opened(self, command: OpenSession, result: SessionOpened) -> None:
        client_id = command.client_id
        self.epochs[client_id] = result.conn_epoch
        self.maxima[client_id] = command.receive_maximum
        if not result.session_present:
            self.seen[client_id] = Seen()
        seen = self.seen[client_id]
        seen.unsent = {packet_id: payload for packet_id, (step, payload) in seen.awaited.items() if step != ON_PUBCOMP}

    def on_publish(self, send: SendPublish) -> None:
        if send.qos == 0:
            assert not send.dup
            return
        seen, packet_id, payload = self.seen[send.client_id], send.packet_id, send.message.payload
        if send.dup:
            # [MQTT-4.4.0-1] the same message under the same identifier, once a connection, and not behind its PUBREC.
            assert payload == seen.unsent.pop(packet_id)
        else:
            assert packet_id not in seen.awaited, f"Packet Identifier {packet_id} is in use [MQTT-2.2.1-3]"
        seen.awaited[packet_id] = (STEPS[send.qos], payload)

    def on_pubrel(self, client_id: str, packet_id: int) -> None:
        step, payload = self.seen[client_id].awaited[packet_id]
        assert step in (ON_PUBREC, ON_PUBCOMP)
        self.seen[client_id].awaited[packet_id] = (ON_PUBCOMP, payload)

    # Rules. Those that matter most stand twice: a rule is drawn as often as any other.

    @initialize(
        maxima=st.tuples(RECEIVE_MAXIMA, RECEIVE_MAXIMA), topic_filter=TOPIC_FILTERS, qos=st.sampled_from([2, 1])
    )
    def begin(self, maxima: tuple[int, int], topic_filter: str, qos: int) -> None:
        """Two clients with sessions that stay, so that there is something to happen to."""
        for client_id, receive_maximum in zip(("a", "b"), maxima, strict=True):
            self.connect(client_id, True, 600, receive_maximum, None)
        self.entry([SubscribeSession("a", self.epochs["a"], [Subscription(topic_filter, qos)], 1)])
        self.entry([SubscribeSession("b", self.epochs["b"], [Subscription("#", 2)], 0)])

    @rule(
        client_id=CLIENT_IDS,
        clean_start=st.sampled_from([False, False, True]),
        expiry_s=SESSION_EXPIRIES_S,
        receive_maximum=RECEIVE_MAXIMA,
        will=WILLS,
    )
    def connect(
        self, client_id: str, clean_start: bool, expiry_s: int, receive_maximum: int, will: Will | None
    ) -> None:
        """Also again, and in place of a connection that is there."""
        if will is not None:
            self.message_number += 1
            will.payload = b"will %d" % self.message_number
        self.conn_id += 1
        self.entry([OpenSession(client_id, clean_start, expiry_s, receive_maximum, self.conn_id, will)])

    @precondition(lambda self: self.epochs)
    @rule(data=st.data(), with_will=st.booleans(), expiry_s=st.sampled_from([-1, -1, 0, 5]))
    def disconnect(self, data: st.DataObject, with_will: bool, expiry_s: int) -> None:
        client_id = self.connected(data)
        if self.model.sessions[client_id].expiry_s == 0:
            expiry_s = min(expiry_s, 0)  # one that was 0 may not be raised. 3.14.2.2.2
        how = CLOSED_WITH_WILL if with_will else CLOSED_NORMALLY
        self.entry([CloseSession(client_id, self.epochs.pop(client_id), how, expiry_s)])

    @precondition(lambda self: self.epochs)
    @rule(
        data=st.data(),
        topic_filter=TOPIC_FILTERS,
        qos=QOS,
        no_local=st.booleans(),
        retain_as_published=st.booleans(),
        retain_handling=st.integers(0, 2),
        number=st.integers(0, 2),
    )
    def subscribe(
        self,
        data: st.DataObject,
        topic_filter: str,
        qos: int,
        no_local: bool,
        retain_as_published: bool,
        retain_handling: int,
        number: int,
    ) -> None:
        client_id = self.connected(data)
        no_local = no_local and not topic_filter.startswith("$share/")
        options = Subscription(topic_filter, qos, no_local, retain_as_published, retain_handling)
        self.entry([SubscribeSession(client_id, self.epochs[client_id], [options], number)])

    @precondition(lambda self: self.epochs)
    @rule(data=st.data(), topic_filter=TOPIC_FILTERS)
    def unsubscribe(self, data: st.DataObject, topic_filter: str) -> None:
        client_id = self.connected(data)
        self.entry([UnsubscribeSession(client_id, self.epochs[client_id], [topic_filter])])

    @precondition(lambda self: self.epochs)
    @rule(
        data=st.data(),
        topic_name=TOPIC_NAMES,
        qos=QOS,
        retain=st.booleans(),
        expiry_s=MESSAGE_EXPIRIES_S,
        packet_id=PACKET_IDS,
    )
    def publish(
        self, data: st.DataObject, topic_name: str, qos: int, retain: bool, expiry_s: int, packet_id: int
    ) -> None:
        client_id = self.connected(data)
        self.message_number += 1
        payload = b"m%d" % self.message_number
        message = Message(topic_name, payload, qos, retain or qos == 0, b"", expiry_s, client_id)
        is_logged = qos == 2 and not self.model.sessions[client_id].is_ephemeral
        command = PublishMessage(self.epochs[client_id], packet_id if is_logged else 0, message)
        if is_logged and packet_id not in self.model.sessions[client_id].received:
            self.published[client_id] = command
        self.entry([command])

    @rule(count=st.integers(1, 4), topic_name=TOPIC_NAMES, qos=st.integers(1, 2), expiry_s=MESSAGE_EXPIRIES_S)
    def publish_some(self, count: int, topic_name: str, qos: int, expiry_s: int) -> None:
        """From a client of no interest."""
        epoch = self.epochs.get("p", 0)
        if not epoch:
            self.connect("p", True, 0, 1, None)
        for _ in range(count):
            self.message_number += 1
            message = Message(topic_name, b"m%d" % self.message_number, qos, False, b"", expiry_s, "p")
            self.entry([PublishMessage(self.epochs["p"], 0, message)])

    @precondition(lambda self: self.may_repeat())
    @rule(data=st.data())
    def publish_again(self, data: st.DataObject) -> None:
        """The DUP of a message that was not released: nobody gets it twice, which `on_publish` holds."""
        client_id = data.draw(st.sampled_from(self.may_repeat()))
        again = self.published[client_id]
        effects = self.entry([PublishMessage(self.epochs[client_id], again.packet_id, again.message)])
        assert [0] == effects.results
        assert [] == [send for send in effects.sends if send.client_id != client_id]

    @precondition(lambda self: self.epochs)
    @rule(data=st.data(), packet_id=PACKET_IDS)
    def release(self, data: st.DataObject, packet_id: int) -> None:
        client_id = self.connected(data)
        self.entry([ReleaseMessage(client_id, self.epochs[client_id], packet_id)])

    @precondition(lambda self: self.owing())
    @rule(data=st.data(), reason_code=st.sampled_from([0, 0, 0, 0x80]))
    def acknowledge(self, data: st.DataObject, reason_code: int) -> None:
        """The step that is due, of any message that was sent on this connection."""
        client_id, packet_id = data.draw(st.sampled_from(self.owing()))
        self.acknowledge_one(client_id, packet_id, reason_code)

    @precondition(lambda self: self.owing())
    @rule(count=st.integers(1, 6))
    def acknowledge_some(self, count: int) -> None:
        """As a client does that has time: in the order of arrival."""
        for _ in range(count):
            if self.owing():
                client_id, packet_id = self.owing()[0]
                self.acknowledge_one(client_id, packet_id, 0)

    def acknowledge_one(self, client_id: str, packet_id: int, reason_code: int) -> None:
        seen = self.seen[client_id]
        step, payload = seen.awaited.pop(packet_id)
        if step == ON_PUBREC and reason_code == 0:
            seen.awaited[packet_id] = (ON_PUBREC, payload)  # PUBREL follows
        (result,) = self.entry(
            [AcknowledgeDelivery(client_id, self.epochs[client_id], packet_id, step, reason_code)]
        ).results
        assert 0 == result

    @precondition(lambda self: self.epochs)
    @rule(data=st.data(), packet_id=st.integers(1, 9), step=st.sampled_from([ON_PUBACK, ON_PUBREC, ON_PUBCOMP]))
    def acknowledge_what_is_not_owed(self, data: st.DataObject, packet_id: int, step: int) -> None:
        """An identifier that was never sent, or the step of another exchange: nothing changes."""
        client_id = self.connected(data)
        awaited = self.seen[client_id].awaited.get(packet_id, (0, b""))[0]
        if awaited == step or (awaited == ON_PUBCOMP and step == ON_PUBREC):
            return
        before = self.state.session_view(client_id)
        (result,) = self.entry([AcknowledgeDelivery(client_id, self.epochs[client_id], packet_id, step, 0)]).results
        assert 0x92 == result
        assert before == self.state.session_view(client_id)

    @precondition(lambda self: self.epochs)
    @rule(data=st.data())
    def say_something_on_an_older_connection(self, data: st.DataObject) -> None:
        client_id = self.connected(data)
        before = self.state.session_view(client_id)
        self.entry([UnsubscribeSession(client_id, self.epochs[client_id] - 1, ["x"])])
        assert before == self.state.session_view(client_id)

    @rule(ms=st.sampled_from([1, 1_000, 5_000, 60_000, 700_000]))
    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        self.entry([])

    @rule()
    def restart(self) -> None:
        """From a snapshot."""
        restored = BrokerState()
        restored.reset()
        for number in range(BUCKET_COUNT):
            restored.decode_bucket(number, self.state.encode_bucket(number))
        restored.on_restored()
        assert self.state.digest() == restored.digest()
        self.state = restored

    # Invariants.

    @invariant()
    def model_agrees(self) -> None:
        assert [] == compare_state(self.model, self.state.session_view) + compare_edges(self.model, self.state)
        counts = self.state.counts()
        assert (len(self.model.sessions), len(self.model.retained)) == (counts["sessions"], counts["retained_messages"])
        assert self.state.is_balanced()

    @invariant()
    def windows_are_kept(self) -> None:
        """No more exchanges than Receive Maximum, but for those of an earlier connection. [MQTT-3.3.4-9]"""
        for client_id in self.epochs:
            seen = self.seen[client_id]
            begun = [packet_id for packet_id in seen.awaited if packet_id not in seen.unsent]
            released = [packet_id for packet_id in begun if seen.awaited[packet_id][0] == ON_PUBCOMP]
            assert len(begun) <= max(self.maxima[client_id], len(released))

    # What may be drawn.

    def connected(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.epochs)))

    def may_repeat(self) -> list[str]:
        """Clients whose last QoS 2 message waits for its PUBREL."""
        return [
            client_id
            for client_id in sorted(self.epochs)
            if client_id in self.published
            and self.published[client_id].packet_id in self.model.sessions[client_id].received
        ]

    def owing(self) -> list[tuple[str, int]]:
        """Exchanges whose next step is the client's."""
        return [
            (client_id, packet_id)
            for client_id in sorted(self.epochs)
            for packet_id in self.seen[client_id].awaited
            if packet_id not in self.seen[client_id].unsent
        ]


TestSessions = Sessions.TestCase
TestSessions.settings = settings(stateful_step_count=50, suppress_health_check=[HealthCheck.too_slow])


class Forgetful(Sessions):
    """Its model never hears of a PUBREL."""

    def told(self, entry: Entry) -> ModelEffects:
        expected = len(entry.commands)
        kept: list[Command] = [command for command in entry.commands if not isinstance(command, ReleaseMessage)]
        effects = self.model.apply(Entry(entry.stamp_ms, EDGE, 1, entry.forward_seq, kept))
        effects.results += [0x92] * (expected - len(kept))
        return effects


def test_the_machine_sees_a_difference() -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Forgetful, settings=settings(stateful_step_count=40, max_examples=200, phases=[Phase.generate])
        )


class Counting(Sessions):
    """Remembers what happened in any of its runs."""

    reached: ClassVar[Counter[str]] = Counter()

    def entry(self, commands: list[Command]) -> Effects:
        effects = super().entry(commands)
        for send in effects.sends:
            if isinstance(send, SendPublish):
                self.reached[f"QoS {send.qos}" + (", again" if send.dup else "")] += 1
            else:
                self.reached["PUBREL"] += 1
        self.reached["a takeover"] += len(effects.closes)
        self.reached["a delivery of an ephemeral session"] += len(effects.deliveries)
        dropped = self.state.accounting["dropped"]
        assert isinstance(dropped, dict)
        self.reached.update(dropped)
        expired = self.state.accounting["expired"]
        assert isinstance(expired, int)
        self.reached["an expired message"] += expired
        return effects


def test_the_machine_reaches_what_it_is_for() -> None:
    """A comparison proves nothing about what never happens."""
    chosen = settings(stateful_step_count=50, max_examples=200, derandomize=True, phases=[Phase.generate])
    run_state_machine_as_test(Counting, settings=chosen)
    expected = ["QoS 0", "QoS 1", "QoS 2", "QoS 1, again", "QoS 2, again", "PUBREL", "a takeover"]
    expected += ["a delivery of an ephemeral session", "session_ended", "an expired message"]
    assert [] == [name for name in expected if not Counting.reached[name]]
