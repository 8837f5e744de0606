"""Goal: the naive model says what the MQTT text says. Method: examples worked by hand from the sections they name; each
is given to the broker as well, so that every example holds for both."""

import pytest

from quantum.core.broker.commands import (
    CLOSED_NORMALLY,
    CLOSED_WITH_WILL,
    HOUSEKEEPING,
    NEVER_S,
    ON_PUBACK,
    ON_PUBCOMP,
    ON_PUBREC,
    AcknowledgeDelivery,
    CloseEdge,
    CloseSession,
    Command,
    DropDelivery,
    Entry,
    OpenEdge,
    OpenSession,
    PublishMessage,
    ReleaseMessage,
    SetPolicy,
    SubscribeSession,
    UnsubscribeSession,
    encode_entry,
)
from quantum.core.broker.message import Message
from quantum.core.broker.state import BrokerState
from quantum.core.causes import CLIENT_PACKET_TOO_LARGE
from quantum.core.mqtt.packets import NO_EXPIRY, Subscription, Will
from quantum.sim.comparison import compare, compare_edges, compare_state
from quantum.sim.model import Model
from quantum.sim.model_session import ModelEffects, ModelResult, matches


class Story:
    """Commands by the name of the client, with the epochs filled in; the broker is told the same and must agree."""

    def __init__(self) -> None:
        self.model = Model()
        self.broker = BrokerState()
        self.index = 0
        self.now_ms = 1_000
        self.epochs: dict[str, int] = {}
        self.effects = ModelEffects(0)

    def apply(self, entry: Entry) -> ModelResult:
        """One entry as it is; returns its last result."""
        self.index += 1
        self.effects = self.model.apply(entry)
        effects = self.broker.apply(self.index, encode_entry(entry), None)
        differences = compare(self.effects, effects) + compare_state(self.model, self.broker.session_view)
        assert [] == differences + compare_edges(self.model, self.broker)
        return self.effects.results[-1] if entry.commands else 0

    def do(self, *commands: Command, edge: int = 1) -> ModelResult:
        """One entry: of the leader for what is the leader's to say, else of an edge in its turn, opened at need."""
        first = commands[0] if commands else None
        if first is None or isinstance(first, SetPolicy | CloseEdge):
            return self.apply(Entry(self.now_ms, HOUSEKEEPING, 0, 0, list(commands)))
        if isinstance(first, OpenEdge):
            return self.apply(Entry(self.now_ms, first.edge, first.incarnation, 0, list(commands)))
        if not self.broker.is_edge_open(edge):
            self.do(OpenEdge(edge, self.broker.edge_incarnation(edge) + 1, 1))
        seq = self.broker.edge_forward_seq(edge) + 1
        return self.apply(Entry(self.now_ms, edge, self.broker.edge_incarnation(edge), seq, list(commands)))

    def pass_s(self, seconds: int) -> None:
        self.now_ms += seconds * 1000
        self.do()

    def open(
        self,
        client_id: str,
        expiry_s: int = 0,
        *,
        clean_start: bool = False,
        will: Will | None = None,
        receive_maximum: int = 10,
        edge: int = 1,
    ) -> bool:
        """CONNECT; returns Session Present."""
        conn_id = self.index + 1
        result = self.do(OpenSession(client_id, clean_start, expiry_s, receive_maximum, conn_id, will), edge=edge)
        assert isinstance(result, tuple)
        self.epochs[client_id] = result[3]
        return bool(result[1])

    def subscribe(self, client_id: str, *subscriptions: Subscription, identifier: int = 0) -> ModelResult:
        return self.do(SubscribeSession(client_id, self.epochs[client_id], list(subscriptions), identifier))

    def publish(
        self,
        client_id: str,
        topic_name: str,
        payload: bytes = b"m",
        qos: int = 1,
        *,
        retain: bool = False,
        packet_id: int = 0,
        expiry_s: int = NO_EXPIRY,
    ) -> ModelResult:
        message = Message(topic_name, payload, qos, retain, b"", expiry_s, client_id)
        return self.do(PublishMessage(self.epochs[client_id], packet_id, message))

    def acknowledge(self, client_id: str, packet_id: int, step: int, reason_code: int = 0) -> ModelResult:
        return self.do(AcknowledgeDelivery(client_id, self.epochs[client_id], packet_id, step, reason_code))

    def close(self, client_id: str, how: int = CLOSED_WITH_WILL, expiry_s: int = -1) -> ModelResult:
        return self.do(CloseSession(client_id, self.epochs[client_id], how, expiry_s))

    def sent(self) -> list[tuple[str, str, bytes, int, int, bool]]:
        """(client id, topic name, payload, qos, packet id, dup) of each PUBLISH just sent to a replicated session."""
        return [
            (send[1], send[5], send[6], send[7], send[8], send[9])
            for send in self.effects.sends
            if send[0] == "publish"
        ]

    def pubrels(self) -> list[int]:
        return [send[5] for send in self.effects.sends if send[0] == "pubrel"]

    def delivered(self) -> list[tuple[str, bytes, int, bool, tuple[int, ...]]]:
        """(client id, payload, qos, retain, subscription ids) of each copy just delivered to an ephemeral session."""
        return [(copy[0], copy[2], copy[3], copy[4], copy[5]) for _, copy in self.effects.deliveries]


@pytest.mark.parametrize(
    ("topic_filter", "topic_name", "expected"),
    [
        # 4.7.1.2 and 4.7.1.3, the examples of the text.
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        # 4.7.2 and 4.7.3.
        ("#", "$SYS/x", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("ACCOUNTS", "Accounts", False),
        ("a/b", "a/b/", False),
    ],
)
def test_filter_matches_as_the_text_says(topic_filter: str, topic_name: str, expected: bool) -> None:
    assert expected == matches(topic_filter, topic_name)


def test_overlapping_subscriptions_give_one_copy_at_the_greatest_qos_with_all_identifiers() -> None:
    story = Story()
    story.open("s")
    story.open("p")
    story.subscribe("s", Subscription("a/#", 2), identifier=7)
    story.subscribe("s", Subscription("a/+", 1), identifier=3)
    assert 0 == story.publish("p", "a/b", qos=2)
    assert [("s", b"m", 2, False, (3, 7))] == story.delivered()
    assert 0x10 == story.publish("p", "b")


@pytest.mark.parametrize("expiry_s", [0, 60])
def test_no_local_takes_only_its_own_subscription_out(expiry_s: int) -> None:
    # [MQTT-3.8.3-3]: what "a/#" asks for must not come back to its publisher; what "a/b" asks for must.
    story = Story()
    story.open("s", expiry_s)
    story.open("p")
    story.subscribe("s", Subscription("a/#", 2, no_local=True), identifier=7)
    story.subscribe("s", Subscription("a/b", 1), identifier=3)
    assert 0 == story.publish("s", "a/b", qos=2)
    if expiry_s:
        assert [("s", "a/b", b"m", 1, 1, False)] == story.sent()
        assert (3,) == story.effects.sends[0][11]
    else:
        assert [("s", b"m", 1, False, (3,))] == story.delivered()
    assert 0x10 == story.publish("s", "a/c")
    story.publish("p", "a/b", qos=2)
    copies = [send[11] for send in story.effects.sends] + [copy[4] for copy in story.delivered()]
    assert [(3, 7)] == copies


def test_retain_handling_and_retain_as_published() -> None:
    story = Story()
    story.open("p")
    story.open("s")
    story.publish("p", "t", b"kept", 1, retain=True)
    for handling, first, again in ((0, 1, 1), (1, 1, 0), (2, 0, 0)):
        story.do(UnsubscribeSession("s", story.epochs["s"], ["t"]))
        for count in (first, again):
            result = story.subscribe("s", Subscription("t", 2, retain_handling=handling))
            assert isinstance(result, tuple)
            assert [("s", "t", b"kept", 1, True, ())] * count == result[2]
    story.publish("p", "t", b"live", 1, retain=True)
    assert [("s", b"live", 1, False, ())] == story.delivered()  # [MQTT-3.3.1-12]
    story.subscribe("s", Subscription("t", 2, retain_as_published=True, retain_handling=2))
    story.publish("p", "t", b"", 0, retain=True)
    assert [("s", b"", 0, True, ())] == story.delivered()  # [MQTT-3.3.1-13]
    assert {} == story.model.retained  # [MQTT-3.3.1-6]


def test_retained_message_expires() -> None:
    story = Story()
    story.open("p")
    story.publish("p", "t", retain=True, expiry_s=5)
    story.pass_s(4)
    assert ["t"] == list(story.model.retained)
    story.pass_s(1)
    assert [] == list(story.model.retained)


def test_window_holds_back_and_acknowledgement_lets_go() -> None:
    story = Story()
    story.open("s", 60, receive_maximum=2)
    story.open("p")
    story.subscribe("s", Subscription("t", 2))
    story.publish("p", "t", b"1", 1)
    story.publish("p", "t", b"2", 2)
    story.publish("p", "t", b"3", 1)
    assert [] == story.sent()
    assert 0x92 == story.acknowledge("s", 1, ON_PUBREC)  # QoS 1 knows no PUBREC
    assert 0 == story.acknowledge("s", 2, ON_PUBREC)
    assert ([2], []) == (story.pubrels(), story.sent())  # PUBCOMP, not PUBREC, frees the window. 4.9
    assert 0 == story.acknowledge("s", 2, ON_PUBCOMP)
    assert [("s", "t", b"3", 1, 3, False)] == story.sent()
    assert 0 == story.acknowledge("s", 1, ON_PUBACK, 0x80)
    assert 0x92 == story.acknowledge("s", 1, ON_PUBACK)


def test_resumed_session_gets_open_exchanges_again_in_their_order() -> None:
    story = Story()
    story.open("s", 60)
    story.open("p")
    story.subscribe("s", Subscription("t", 2))
    for payload in (b"1", b"2", b"3", b"4"):
        story.publish("p", "t", payload, 2)
    story.acknowledge("s", 3, ON_PUBREC)
    story.acknowledge("s", 1, ON_PUBREC)
    story.acknowledge("s", 3, ON_PUBREC)  # once more, which changes no order
    story.close("s")
    story.publish("p", "t", b"5", 1)
    assert story.open("s", 60, receive_maximum=4)
    assert [3, 1] == story.pubrels()  # [MQTT-4.6.0-4]
    assert [("s", "t", b"2", 2, 2, True), ("s", "t", b"4", 2, 4, True)] == story.sent()  # [MQTT-4.6.0-1]
    story.acknowledge("s", 3, ON_PUBCOMP)
    assert [("s", "t", b"5", 1, 5, False)] == story.sent()


def test_released_message_cannot_be_dropped() -> None:
    story = Story()
    story.open("s", 60)
    story.open("p")
    story.subscribe("s", Subscription("t", 2))
    story.publish("p", "t", qos=2)
    story.acknowledge("s", 1, ON_PUBREC)
    drop = DropDelivery("s", story.epochs["s"], 1, CLIENT_PACKET_TOO_LARGE.number)
    assert 0x92 == story.do(drop)  # [MQTT-4.3.3-5]
    assert 0 == story.acknowledge("s", 1, ON_PUBCOMP)
    story.publish("p", "t", qos=1)
    assert 0 == story.do(DropDelivery("s", story.epochs["s"], 2, CLIENT_PACKET_TOO_LARGE.number))


def test_qos_2_is_accepted_once_until_it_is_released() -> None:
    story = Story()
    story.open("s")
    story.open("p", 60)
    story.subscribe("s", Subscription("t", 2))
    assert 0 == story.publish("p", "t", b"1", 2, packet_id=9)
    assert 1 == len(story.delivered())
    assert 0 == story.publish("p", "t", b"1", 2, packet_id=9)
    assert [] == story.delivered()
    assert 0 == story.do(ReleaseMessage("p", story.epochs["p"], 9))
    assert 0x92 == story.do(ReleaseMessage("p", story.epochs["p"], 9))
    assert 0 == story.publish("p", "t", b"2", 2, packet_id=9)
    assert 1 == len(story.delivered())


def test_queued_message_expires_but_one_in_flight_does_not() -> None:
    story = Story()
    story.open("s", 60, receive_maximum=1)
    story.open("p")
    story.subscribe("s", Subscription("t", 1))
    story.publish("p", "t", b"in flight", expiry_s=2)
    story.publish("p", "t", b"queued", expiry_s=2)
    story.close("s")
    story.pass_s(2)
    story.open("s", 60, receive_maximum=1)
    assert [("s", "t", b"in flight", 1, 1, True)] == story.sent()
    story.acknowledge("s", 1, ON_PUBACK)
    assert [] == story.sent()  # [MQTT-3.3.2-5]


def test_takeover_closes_the_old_connection_and_fences_it() -> None:
    story = Story()
    story.open("s", 60)
    stale = story.epochs["s"]
    assert story.open("s", 60)
    assert [("s", stale, 1, 1, "session_taken_over")] == story.effects.closes
    assert ("refused", "stale_epoch") == story.do(CloseSession("s", stale, CLOSED_NORMALLY))
    assert not story.open("s", 60, clean_start=True)


@pytest.mark.parametrize(
    ("delay_s", "clean_start", "is_published"),
    [(0, False, True), (30, False, False), (30, True, True)],
)
def test_will_at_takeover(delay_s: int, clean_start: bool, is_published: bool) -> None:
    # [MQTT-3.1.3-9], and the end of the Session publishes in any case.
    story = Story()
    story.open("w")
    story.subscribe("w", Subscription("will", 1))
    story.open("s", 60, will=Will("will", b"gone", 1, False, b"", delay_s))
    story.open("s", 60, clean_start=clean_start)
    assert ([("w", b"gone", 1, False, ())] if is_published else []) == story.delivered()


@pytest.mark.parametrize(("delay_s", "expiry_s", "due_s"), [(5, 60, 5), (60, 5, 5), (5, NEVER_S, 5)])
def test_delayed_will_comes_at_the_earlier_of_its_delay_and_the_end(delay_s: int, expiry_s: int, due_s: int) -> None:
    story = Story()
    story.open("w")
    story.subscribe("w", Subscription("will", 1))
    story.open("s", expiry_s, will=Will("will", b"gone", 1, False, b"", delay_s))
    story.close("s")
    story.pass_s(due_s - 1)
    assert [] == story.delivered()
    story.pass_s(1)
    assert [("w", b"gone", 1, False, ())] == story.delivered()
    story.pass_s(100)
    assert [] == story.delivered()  # once [MQTT-3.1.2-10]


def test_normal_disconnect_removes_the_will() -> None:
    story = Story()
    story.open("w")
    story.subscribe("w", Subscription("will", 1))
    story.open("s", will=Will("will", b"gone", 1, False))
    story.close("s", CLOSED_NORMALLY)
    assert [] == story.delivered()  # [MQTT-3.14.4-3]
    assert ["w"] == list(story.model.sessions)


def test_shared_group_takes_turns_and_prefers_the_connected() -> None:
    story = Story()
    story.open("p")
    for client_id in "abc":
        story.open(client_id, 60 if client_id == "b" else 0)
        story.subscribe(client_id, Subscription("$share/g/t", 1))
    takers = []
    for _ in range(4):
        story.publish("p", "t")
        takers += [copy[0] for copy in story.delivered()] + [send[0] for send in story.sent()]
    assert ["a", "b", "c", "a"] == takers
    story.close("b")
    story.publish("p", "t")
    assert ["c"] == [copy[0] for copy in story.delivered()]
    story.close("a")
    story.close("c")
    assert 0 == story.publish("p", "t", b"for b")
    assert 1 == len(story.model.sessions["b"].queue)


def test_what_an_ended_member_was_never_sent_goes_to_another() -> None:
    story = Story()
    story.open("p")
    story.open("a", 10)
    story.subscribe("a", Subscription("$share/g/t", 2))
    story.close("a")
    story.publish("p", "t", b"1", 1)
    story.publish("p", "t", b"2", 2)
    story.publish("p", "t", b"3", 1)
    story.open("b")
    story.subscribe("b", Subscription("$share/g/t", 2))
    story.pass_s(10)
    left = [("b", b"1", 1, False, ()), ("b", b"2", 2, False, ()), ("b", b"3", 1, False, ())]
    assert left == story.delivered()


def test_what_an_ended_member_was_being_sent_goes_to_another_unless_qos_2() -> None:
    """[MQTT-4.8.2-5]"""
    story = Story()
    story.open("p")
    story.open("a", 10)
    story.subscribe("a", Subscription("$share/g/t", 2))
    story.publish("p", "t", b"1", 1)
    story.publish("p", "t", b"2", 2)
    story.open("b")
    story.subscribe("b", Subscription("$share/g/t", 2))
    story.close("a")
    story.pass_s(10)
    assert [("b", b"1", 1, False, ())] == story.delivered()
    assert ["session_ended"] == story.model.dropped


def test_limits_refuse_and_drop() -> None:
    story = Story()
    story.do(SetPolicy(2, 1, 2, 1000, 1, 1000))
    story.open("s", 60)
    story.open("p")
    assert ("refused", "sessions_max") == story.do(OpenSession("x", False, 0, 1, 99))
    granted = story.subscribe("s", Subscription("t", 1), Subscription("u", 1), Subscription("t", 2))
    assert ("subscribed", [1, 0x97, 2], []) == granted
    story.publish("p", "t", retain=True)
    assert ("refused", "retained_messages_max") == story.publish("p", "u", retain=True)
    assert 0 == story.publish("p", "t", b"other", retain=True)
    story.publish("p", "t")
    assert ([], ["queue_messages_max"]) == (story.sent(), story.model.dropped)


def test_new_incarnation_of_an_edge_cuts_what_the_old_one_held() -> None:
    story = Story()
    story.open("w", edge=2)
    story.subscribe("w", Subscription("will", 1))
    story.open("s", 60, will=Will("will", b"gone", 1, False))
    assert ("refused", "edge_stale") == story.do(OpenEdge(1, 1, 5))
    assert [] == story.delivered()
    assert 0 == story.do(OpenEdge(1, 2, 5))
    assert [("w", b"gone", 1, False, ())] == story.delivered()
    assert 0 == story.model.sessions["s"].conn_epoch
    assert [(1, 1)] == story.effects.edges_closed


def test_closed_edge_is_cut_and_says_nothing_more() -> None:
    story = Story()
    story.open("w", edge=2)
    story.subscribe("w", Subscription("will", 1))
    story.open("s", 60, will=Will("will", b"gone", 1, False))
    assert 0 == story.do(CloseEdge(1, 1))
    assert [("w", b"gone", 1, False, ())] == story.delivered()
    late = Entry(story.now_ms, 1, 1, 2, [CloseSession("w", story.epochs["w"], CLOSED_NORMALLY)])
    assert ("refused", "edge_stale") == story.apply(late)
    assert story.effects.is_refused
    assert ("refused", "edge_stale") == story.do(CloseEdge(1, 1))


def test_entry_counts_once_and_not_before_the_one_in_front_of_it() -> None:
    story = Story()
    story.open("p")
    story.open("s", 60)
    story.subscribe("s", Subscription("t", 1))
    message = Message("t", b"m", 1, False, b"", NO_EXPIRY, "p")
    counted = []
    for forward_seq in (5, 4, 4, 3, 6, 5):
        story.apply(Entry(story.now_ms, 1, 1, forward_seq, [PublishMessage(story.epochs["p"], 0, message)]))
        counted.append(len(story.sent()))
    assert [0, 1, 0, 0, 0, 1] == counted


def test_time_never_goes_back() -> None:
    story = Story()
    story.pass_s(10)
    story.now_ms -= 5_000
    story.do()
    assert 11_000 == story.effects.stamp_ms


def test_interval_of_zero_is_delivered_at_once_or_never() -> None:
    # [MQTT-3.3.2-5]: onward delivery starts before the interval has passed, or the message is deleted.
    story = Story()
    story.open("s", 60)
    story.open("p")
    story.subscribe("s", Subscription("t", 1))
    story.publish("p", "t", b"now", expiry_s=0)
    assert [("s", "t", b"now", 1, 1, False)] == story.sent()
    story.close("s")
    story.publish("p", "t", b"late", expiry_s=0)
    story.open("s", 60)
    assert [("s", "t", b"now", 1, 1, True)] == story.sent()
