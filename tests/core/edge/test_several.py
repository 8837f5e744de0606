"""Goal: clients of one cluster meet, whichever node they are at, and no node speaks for connections that are not its
own. Method: several edges over one log; packets in, packets out; replicas and relayed bodies held back where it matters."""

import msgpack
import pytest

from quantum.core.causes import (
    EDGE_CLOSED,
    PEER_ITEM_REFUSED,
    QOS0_OFFLINE,
    RELAY_BYTES_MAX,
    RELAY_REPEATED,
    SHARED_GROUP_EMPTY,
)
from quantum.core.edge import relay
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import (
    V5,
    V311,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Pubrec,
    Pubrel,
    Subscription,
    Unsubscribe,
)
from tests.core.edge.several import Several


def payloads(packets: list[Packet]) -> list[bytes]:
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


def reason_codes(packets: list[Packet]) -> list[int]:
    return [packet.reason_code for packet in packets if isinstance(packet, Disconnect)]


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("expiry_s", [0, 100])
def test_a_publish_reaches_subscribers_of_every_node_once(qos: int, version: int, expiry_s: int) -> None:
    several = Several(3)
    subscribers = [several.connect(number, f"s{number}", expiry_s=expiry_s) for number in (1, 2, 3)]
    for conn_id in subscribers:
        several.subscribe(conn_id, Subscription("t", 2))
    publisher = several.connect(2, "p", version=version)
    several.send(publisher, *[Publish("t", bytes([n]), qos, packet_id=n if qos else 0) for n in (1, 2, 3)])
    for conn_id in subscribers:
        packets = several.take(conn_id)
        assert [b"\1", b"\2", b"\3"] == payloads(packets)
        assert [qos] * 3 == [packet.qos for packet in packets if isinstance(packet, Publish)]
    answers = several.take(publisher)
    assert [Puback, Pubrec][qos - 1 :][:1] * 3 * (qos > 0) == [type(answer) for answer in answers]


def test_qos_2_is_finished_at_the_node_of_the_subscriber() -> None:
    several = Several(2)
    subscriber = several.connect(2, "s", expiry_s=100)
    several.subscribe(subscriber, Subscription("t", 2))
    publisher = several.connect(1, "p")
    several.send(publisher, Publish("t", b"x", 2, packet_id=7))
    (publish,) = several.take(subscriber)
    assert isinstance(publish, Publish)
    several.send(subscriber, Pubrec(publish.packet_id))
    assert [Pubrel(publish.packet_id)] == several.take(subscriber)
    assert 1 == several.sites[1].state.counts()["inflight_messages"]


@pytest.mark.parametrize("expiry_s", [0, 100])
def test_a_session_is_taken_over_by_a_client_at_another_node(expiry_s: int) -> None:
    """[MQTT-3.1.4-3]"""
    several = Several(2)
    old = several.connect(1, "c", expiry_s=expiry_s)
    several.subscribe(old, Subscription("t", 1))
    new = several.connect(2, "c", expiry_s=expiry_s, clean=False)
    assert [0x8E] == reason_codes(several.take(old))
    assert several.is_closed(old)
    if not expiry_s:
        several.subscribe(new, Subscription("t", 1))
    for qos in (0, 1):
        several.send(new, Publish("t", b"x", qos, packet_id=qos))
    assert [b"x", b"x"] == payloads(several.take(new))
    assert [] == several.take(old)


def test_what_the_old_connection_had_still_to_say_does_nothing_after_the_takeover() -> None:
    """The node of the old connection hears late of the takeover. Law FENCE."""
    several = Several(2)
    witness = several.connect(2, "w")
    several.subscribe(witness, Subscription("t", 1))
    old = several.connect(1, "c", expiry_s=100)
    several.sites[1].is_held = True
    several.connect(2, "c", expiry_s=100, clean=False)
    several.send(old, Publish("t", b"late", 1, packet_id=1))
    several.sites[1].is_held = False
    several.run()
    assert [] == several.take(witness)
    packets = several.take(old)
    assert [0x8E] == reason_codes(packets)
    assert [] == [packet for packet in packets if isinstance(packet, Puback)]


def test_a_session_that_moves_gets_a_qos_0_message_on_one_connection_at_most() -> None:
    """Two are open for a while: the node of the old one hears late of the takeover. [MQTT-4.3.1-1]"""
    several = Several(3)
    old = several.connect(1, "c", expiry_s=100)
    several.subscribe(old, Subscription("t", 2))
    publisher, lagging = several.connect(2, "p"), several.connect(1, "q")
    several.sites[1].is_held = True
    new = several.connect(3, "c", expiry_s=100, clean=False)
    several.send(publisher, Publish("t", b"of a node that knows", 0))
    several.send(lagging, Publish("t", b"of one that does not", 0))
    several.send(lagging, Publish("t", b"nor here", 0, properties=b"\x01\x01"))
    assert [b"of a node that knows"] == payloads(several.take(new))
    assert [b"of one that does not", b"nor here"] == payloads(several.take(old))
    assert 2 == several.counted(3, QOS0_OFFLINE.number)
    several.sites[1].is_held = False
    several.run()
    assert [] == payloads(several.take(old))
    several.send(lagging, Publish("t", b"after", 0))
    assert [b"after"] == payloads(several.take(new))
    several.restart(2)  # the edge of the next process saw nothing of what is in the log
    publisher = several.connect(2, "p")
    several.send(publisher, Publish("t", b"of the next process", 0))
    assert [b"of the next process"] == payloads(several.take(new))


def test_what_is_published_before_a_session_moves_is_told_as_from_before_it_within_one_turn() -> None:
    """A node catches up: 1. a connection opens, and what came behind its CONNECT is published 2. it is taken over."""
    several = Several(2)
    several.subscribe(several.connect(1, "c", expiry_s=100), Subscription("t", 2))
    several.sites[1].is_held = True
    old = several.connect(1, "c", expiry_s=100, clean=False)
    several.send(old, Publish("t", b"x", 0))
    new = several.connect(2, "c", expiry_s=100, clean=False)
    several.sites[1].is_held = False
    several.run()
    assert [b"x"] == payloads(several.take(old))
    assert [] == several.take(new)


def test_a_session_whose_node_was_taken_for_lost_gets_a_qos_0_message_on_one_connection_at_most() -> None:
    """The node goes on serving until it hears that its edge is closed. The client moves twice meanwhile."""
    several = Several(3)
    old = several.connect(1, "c", expiry_s=100)
    several.subscribe(old, Subscription("t", 2))
    lagging = several.connect(1, "q")
    several.sites[1].is_held = True
    several.close_edge(1)
    second = several.connect(2, "c", expiry_s=100, clean=False)
    several.send(second, Disconnect(0))
    third = several.connect(3, "c", expiry_s=100, clean=False)
    several.send(lagging, Publish("t", b"x", 0))
    assert [b"x"] == payloads(several.take(old))
    assert [] == several.take(third)
    several.send(several.connect(2, "p"), Publish("t", b"y", 0))
    assert [b"y"] == payloads(several.take(third))
    assert [] == several.take(old)


def test_a_session_that_went_to_another_node_is_not_told_again_what_was_on_its_way_there() -> None:
    """It left by itself. Once the publisher's node knows that, nothing is kept from it."""
    several = Several(3)
    first = several.connect(2, "c", expiry_s=100)
    several.subscribe(first, Subscription("t", 2))
    publisher = several.connect(2, "p")
    several.is_relay_held = True
    several.send(publisher, Publish("t", b"1", 0))
    assert [b"1"] == payloads(several.take(first))
    several.send(first, Disconnect(0))
    several.sites[2].is_held = True
    several.is_relay_held = False
    second = several.connect(3, "c", expiry_s=100, clean=False)
    several.send(publisher, Publish("t", b"2", 0))
    assert [b"2"] == payloads(several.take(second))


def test_a_subscriber_with_its_suback_is_found_by_a_publisher_whose_node_lags_behind() -> None:
    """Law SUBACK: the publisher's node does not know the subscription yet."""
    several = Several(2)
    publisher = several.connect(1, "p")
    several.sites[1].is_held = True
    subscriber = several.connect(2, "s")
    several.subscribe(subscriber, Subscription("t", 0))
    several.send(publisher, Publish("t", b"x", 0))
    assert [b"x"] == payloads(several.take(subscriber))


def test_qos_0_does_not_overtake_one_that_went_through_the_log() -> None:
    """Law ORDER: the retained message is applied late at the subscriber's node, the next one comes straight."""
    several = Several(2)
    subscriber = several.connect(2, "s")
    several.subscribe(subscriber, Subscription("t", 0))
    publisher = several.connect(1, "p")
    several.sites[2].is_held = True
    several.send(publisher, Publish("t", b"1", 0, retain=True))
    several.send(publisher, Publish("t", b"2", 0))
    several.send(publisher, Publish("t", b"3", 0, properties=b"\x01\x01"))
    assert [] == several.take(subscriber)
    several.sites[2].is_held = False
    several.run()
    assert [b"1", b"2", b"3"] == payloads(several.take(subscriber))


@pytest.mark.parametrize("ahead_ms", [-5_000, 0, 3_600_000])
@pytest.mark.parametrize("expiry_s", [1, 10, 0xFFFFFFFF])
def test_message_expiry_goes_on_at_the_other_node_whatever_its_clock_says(ahead_ms: int, expiry_s: int) -> None:
    """[MQTT-3.3.2-6]: never more than the whole interval, even where the origin's clock is ahead."""
    several = Several(2)
    subscriber = several.connect(2, "s")
    several.subscribe(subscriber, Subscription("t", 0))
    publisher = several.connect(1, "p")
    several.sites[1].edge.fanout.clock_ms += ahead_ms
    several.send(publisher, Publish("t", b"x", 0, message_expiry_s=expiry_s))
    left = [packet.message_expiry_s for packet in several.take(subscriber) if isinstance(packet, Publish)]
    assert ([] if expiry_s == 1 and ahead_ms < 0 else [min(expiry_s, expiry_s + ahead_ms // 1000)]) == left


@pytest.mark.parametrize("ahead_ms", [0, 3_600_000])
def test_a_message_that_waits_for_the_log_expires_meanwhile(ahead_ms: int) -> None:
    """[MQTT-3.3.2-5], also where the origin's clock is ahead."""
    several = Several(2)
    subscriber = several.connect(2, "s")
    several.subscribe(subscriber, Subscription("t", 0))
    publisher = several.connect(1, "p")
    several.sites[2].is_held = True
    several.send(publisher, Publish("t", b"1", 0, retain=True))
    several.sites[1].edge.fanout.clock_ms += ahead_ms
    several.send(publisher, Publish("t", b"2", 0, message_expiry_s=5), Publish("t", b"3", 0, message_expiry_s=6))
    several.now_ms += 5_000
    several.sites[2].is_held = False
    several.run()
    assert [b"1", b"3"] == payloads(several.take(subscriber))


@pytest.mark.skipif(not (relay.__file__ or "").endswith(".py"), reason="the bound is compiled in")
def test_what_waits_for_the_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantum.core.edge.relay.HELD_BYTES_MAX", 200)
    several = Several(2)
    subscriber = several.connect(2, "s")
    several.subscribe(subscriber, Subscription("t", 0))
    publisher = several.connect(1, "p")
    several.sites[2].is_held = True
    several.send(publisher, Publish("t", b"1", 0, retain=True))
    several.send(publisher, Publish("t", b"2", 0))
    several.send(publisher, Publish("t", bytes(300), 0))
    several.send(publisher, Publish("t", b"3", 0))
    assert 1 == several.counted(2, RELAY_BYTES_MAX.number)
    several.sites[2].is_held = False
    several.run()
    assert [b"1", b"2", b"3"] == payloads(several.take(subscriber))


def test_repeated_and_late_bodies_are_not_delivered_again() -> None:
    """QoS 0 is at most once, and in order, whatever the network does. [MQTT-4.6.0-5]"""
    several = Several(2)
    subscriber = several.connect(2, "s")
    several.subscribe(subscriber, Subscription("t", 0))
    publisher = several.connect(1, "p")
    several.is_relay_held = True
    for payload in (b"1", b"2", b"3"):
        several.send(publisher, Publish("t", payload, 0))
    first, second, third = [body for _, _, body in several.relayed]
    several.relayed = []
    edge = several.sites[2].edge
    for body in (first, first, third, second, third):
        edge.on_ephemeral(1, 1, body)
    several.run()
    assert [b"1", b"3"] == payloads(several.take(subscriber))
    assert 3 == several.counted(2, RELAY_REPEATED.number)
    edge.on_ephemeral(1, 99, first)  # another process of the node counts anew
    several.run()
    assert [b"1"] == payloads(several.take(subscriber))
    edge.on_ephemeral(1, 1, third)  # a late one of the process before
    several.run()
    assert [] == payloads(several.take(subscriber))


def test_no_local_holds_across_nodes_and_where_subscriptions_overlap() -> None:
    """[MQTT-3.8.3-3]"""
    several = Several(2)
    both = [several.connect(number, f"c{number}") for number in (1, 2)]
    for conn_id in both:
        several.subscribe(conn_id, Subscription("t", 1, no_local=True), subscription_id=5)
        several.subscribe(conn_id, Subscription("#", 1), subscription_id=6)
    for qos in (0, 1):
        several.send(both[0], Publish("t", b"x", qos, packet_id=qos))
        own, other = [
            [packet.subscription_ids for packet in several.take(conn_id) if isinstance(packet, Publish)]
            for conn_id in both
        ]
        assert [[6]] == [list(ids) for ids in own], qos
        assert [[5, 6]] == [list(ids) for ids in other], qos
        for packet_id in (1, 2):
            for conn_id in both:
                several.send(conn_id, Puback(packet_id))


def test_no_local_alone_holds_when_the_client_has_moved_to_another_node() -> None:
    """[MQTT-3.8.3-3]"""
    several = Several(2)
    first = several.connect(1, "c", expiry_s=100)
    several.subscribe(first, Subscription("t", 1, no_local=True))
    several.is_relay_held = True
    several.send(first, Publish("t", b"x", 0))
    second = several.connect(2, "c", expiry_s=100, clean=False)
    several.is_relay_held = False
    several.run()
    assert [] == payloads(several.take(second))


def test_a_shared_group_gives_each_qos_0_message_to_one_member_of_any_node() -> None:
    several = Several(3)
    members = [several.connect(number, f"m{number}") for number in (1, 2, 3)]
    for conn_id in members:
        several.subscribe(conn_id, Subscription("$share/g/t", 0), subscription_id=9)
    publisher = several.connect(1, "p")
    several.send(publisher, *[Publish("t", bytes([number]), 0) for number in range(9)])
    shares = [several.take(conn_id) for conn_id in members]
    assert [3, 3, 3] == [len(share) for share in shares]
    assert sorted(bytes([number]) for number in range(9)) == sorted(
        payload for share in shares for payload in payloads(share)
    )
    assert {9} == {ids for share in shares for packet in share for ids in packet.subscription_ids}  # type: ignore[union-attr]


def test_the_chosen_member_is_its_connection_not_its_name() -> None:
    """The member leaves the group and connects again, while the message that chose it is on its way."""
    several = Several(2)
    member = several.connect(2, "m")
    several.subscribe(member, Subscription("$share/g/t", 0))
    publisher = several.connect(1, "p")
    several.is_relay_held = True
    several.send(publisher, Publish("t", b"x", 0))
    again = several.connect(2, "m")
    several.is_relay_held = False
    several.run()
    assert [] == several.take(again)
    assert 1 == several.counted(2, SHARED_GROUP_EMPTY.number)


def test_the_chosen_member_is_asked_whether_it_is_one_still() -> None:
    """Law SUBACK: the member has its UNSUBACK, the publisher's node does not know of that yet."""
    several = Several(2)
    member = several.connect(2, "m")
    several.subscribe(member, Subscription("$share/g/t", 0))
    publisher = several.connect(1, "p")
    several.sites[1].is_held = True
    several.send(member, Unsubscribe(7, ["$share/g/t"]))
    assert 1 == len(several.take(member))
    several.send(publisher, Publish("t", b"x", 0))
    assert [] == several.take(member)
    assert 1 == several.counted(2, SHARED_GROUP_EMPTY.number)


def test_a_closed_edge_ends_its_connections_and_serves_again_when_it_is_opened() -> None:
    several = Several(2)
    client = several.connect(2, "c", expiry_s=100)
    several.subscribe(client, Subscription("t", 1))
    connecting = several.connect(2, "idle", version=V311)
    several.close_edge(2)
    assert [0x8B] == reason_codes(several.take(client))
    assert [] == several.take(connecting)
    assert several.is_closed(client)
    assert several.is_closed(connecting)
    assert 2 == several.counted(2, EDGE_CLOSED.number)
    publisher = several.connect(1, "p")
    several.send(publisher, Publish("t", b"x", 1, packet_id=1))
    several.open_edge(2)
    several.connect(2, "c", expiry_s=100, clean=False)
    assert [b"x"] == payloads(several.rest)


def test_a_closed_edge_leaves_connections_of_others_alone() -> None:
    several = Several(3)
    clients = [several.connect(number, f"c{number}") for number in (1, 2, 3)]
    several.close_edge(2)
    assert [False, True, False] == [several.is_closed(conn_id) for conn_id in clients]
    assert 0 == several.counted(1, EDGE_CLOSED.number)


def test_what_an_edge_had_under_way_when_it_was_closed_is_neither_applied_nor_answered() -> None:
    """Law FENCE: 1. the edge proposes 2. the log closes it first 3. its entry comes behind."""
    several = Several(2)
    witness = several.connect(1, "w")
    several.subscribe(witness, Subscription("t", 1))
    client = several.connect(2, "c")
    several.sites[2].is_held = True
    several.close_edge(2)
    several.send(client, Publish("t", b"x", 1, packet_id=1))
    several.sites[2].is_held = False
    several.run()
    assert [] == several.take(witness)
    assert [0x8B] == reason_codes(several.take(client))
    several.open_edge(2)
    assert [] == several.take(witness)


def test_a_connect_that_waits_is_answered_once_the_edge_is_open_again() -> None:
    several = Several(2)
    several.close_edge(2)
    several.sites[2].is_held = True
    conn_id = several.connect(2, "c")
    several.sites[2].is_held = False
    several.open_edge(2)
    assert [Connack(False, 0).reason_code] == [
        packet.reason_code for packet in several.take(conn_id) if isinstance(packet, Connack)
    ]


def test_a_connect_that_was_given_up_takes_nothing_from_the_client_when_its_edge_opens() -> None:
    """1. its node has no open edge 2. the client goes to another node 3. the edge opens."""
    several = Several(2)
    site = several.sites[2]
    several.close_edge(2)
    site.is_held = True
    stays, gone = several.connect(2, "stays"), several.connect(2, "c")
    site.edge.on_closed(gone, "given up")
    served = several.connect(1, "c", expiry_s=100)
    several.subscribe(served, Subscription("t", 1))
    site.is_held = False
    several.open_edge(2)
    assert not several.is_closed(served)
    assert [Connack] == [type(packet) for packet in several.take(stays)]
    several.send(served, Publish("t", b"x", 1, packet_id=1))
    assert [b"x"] == payloads(several.take(served))


def test_answers_of_the_edge_keep_their_place_when_a_connect_before_them_is_given_up() -> None:
    """[MQTT-4.6.0-2]: 1. a CONNECT 2. a PUBLISH to accept 3. one to refuse, all in one turn; then the CONNECT's client goes."""
    several = Several(1)
    site = several.sites[1]
    publisher = several.connect(1, "p")
    for conn_id, data in (
        (900, encode_packet(V5, Connect(V5, "gone", True, 0))),
        (publisher, encode_packet(V5, Publish("t", b"", 1, packet_id=1))),
        (publisher, encode_packet(V5, Publish("$SYS/x", b"", 1, packet_id=2))),
        (publisher, encode_packet(V5, Publish("t", b"", 1, packet_id=3))),
    ):
        if conn_id == 900:
            site.edge.on_accepted(900, "tcp", "peer", "")
        site.edge.on_received(conn_id, data)
    site.edge.on_closed(900, "given up")
    several.run()
    assert [(1, 0), (2, 0x90), (3, 0)] == [
        (packet.packet_id, packet.reason_code) for packet in several.take(publisher) if isinstance(packet, Puback)
    ]
    assert {} == site.state.session_view("gone")


def test_an_edge_that_opens_over_its_own_open_incarnation_keeps_what_connects_after() -> None:
    """Its replica was put in place of entries it missed: it closes by itself, and opens over what the log still has."""
    several = Several(2)
    client = several.connect(2, "c")
    site = several.sites[2]
    several.open_edge(2)
    assert several.is_closed(client)
    assert 2 == site.state.edge_incarnation(2)
    again = several.connect(2, "c")
    several.send(again, Publish("t", b"x", 1, packet_id=1))
    assert [Puback] == [type(packet) for packet in several.take(again)]


def test_a_node_alone_says_nothing_to_others() -> None:
    several = Several(2)
    several.sites[1].edge.on_peers(0)
    publisher = several.connect(1, "p")
    several.is_relay_held = True
    several.send(publisher, Publish("t", b"x", 0), Publish("t", b"x", 0, properties=b"\x01\x01"))
    assert [] == several.relayed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgpack.packb(7),
        msgpack.packb((1, 0)),
        msgpack.packb(("1", 0, [])),
        msgpack.packb((1, 0, [(9, "p")])),
        msgpack.packb((1, 0, [()])),
        msgpack.packb((1, 0, [(1, "p", True, "t", b"\x30\x03\x00\x01t", 4, 2)])),
        msgpack.packb((1, 0, [(1, "p", True, "t", b"", 4, 2)])),
        msgpack.packb((1, 0, [(1, "p", True, "t", b"\x30\x03\x00\x01t", 0, 0)])),
        msgpack.packb((1, 0, [(2, "p", b"t", b"", b"", -1, 0)])),
        msgpack.packb((1, 0, [(2, "p", "t", b"", b"", -1)])),
        msgpack.packb((1, 0, [(3, "p", "t", b"", b"", -1, 0, "m", "1", [], "$share/g/t")])),
        msgpack.packb((1, 0, [(3, "p", "t", b"", b"", -1, 0, "m", 1, [])])),
        msgpack.packb((1, 0, [(3, "p", "t", b"", b"", -1, 0, "m", 1, [], b"g")])),
        msgpack.packb((1, 0, [(3, "p", "t", b"", b"", -1, 0, "m", 1, b"ab", "$share/g/t")])),
        msgpack.packb((1, 0, [(3, "p", "t", b"", b"", -1, 0, "m", 1, [1 << 28], "$share/g/t")])),
        msgpack.packb((1, 0, [(3, "p", "t", b"", b"", 1 << 32, 9, "m", 1, [], "$share/g/t")])),
        msgpack.packb((1, 0, [(2, "p", "", b"", b"", -1, 0)])),
        msgpack.packb((1, 0, [(2, "p", "t" * 65_536, b"", b"", -1, 0)])),
        b"\xdd\xff\xff\xff\xff",
    ],
)
def test_a_body_that_is_none_is_refused_with_a_cause(body: bytes) -> None:
    several = Several(2)
    several.sites[2].edge.on_ephemeral(1, 1, body)
    assert 1 == several.counted(2, PEER_ITEM_REFUSED.number)


def test_truncated_and_flipped_bodies_never_raise() -> None:
    several = Several(2)
    subscriber = several.connect(2, "s")
    several.subscribe(subscriber, Subscription("t", 0), Subscription("$share/g/t", 0))
    publisher = several.connect(1, "p")
    several.is_relay_held = True
    several.send(publisher, Publish("t", b"x", 0), Publish("t", b"y", 0, properties=b"\x01\x01"))
    edge = several.sites[2].edge
    for nonce, (_, _, body) in enumerate(several.relayed):
        for at in range(len(body)):
            edge.on_ephemeral(1, 1000 * nonce + 2 * at + 2, body[:at])
            edge.on_ephemeral(1, 1000 * nonce + 2 * at + 3, body[:at] + bytes([body[at] ^ 0x41]) + body[at + 1 :])
    assert several.counted(2, PEER_ITEM_REFUSED.number) > 50


def test_an_older_client_is_taken_over_without_a_word() -> None:
    """v3.1.1 [MQTT-3.1.4-2]: it knows no DISCONNECT from the server."""
    several = Several(2)
    old = several.connect(1, "c", version=V311)
    several.connect(2, "c", version=V311)
    assert [] == several.take(old)
    assert several.is_closed(old)
