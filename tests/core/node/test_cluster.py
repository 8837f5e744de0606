"""Goal: any node serves any client, and a cluster goes on without its leader. Method: three nodes whose frames are passed
by hand, clients at different nodes."""

from quantum.core.mqtt.packets import (
    Connack,
    Disconnect,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
)
from tests.core.node.cluster import Cluster


def subscribed(cluster: Cluster, number: int, client_id: str, qos: int, expiry_s: int = 0) -> int:
    conn_id, _ = cluster.connected(number, client_id, expiry_s=expiry_s)
    cluster.send(number, conn_id, Subscribe(9, [Subscription("t/#", qos)]))
    assert [Suback(9, [qos])] == cluster.take(number, conn_id)
    return conn_id


def others(cluster: Cluster) -> tuple[int, int, int]:
    leader = cluster.leader()
    a, b = [number for number in cluster.numbers if number != leader]
    return leader, a, b


def test_three_nodes_elect_one_leader_and_all_become_ready() -> None:
    cluster = Cluster()
    assert cluster.leader()
    for number in cluster.numbers:
        assert 200 == cluster.ask(number, "GET", "/readyz").status
    assert 1 == len(cluster.digests())


def test_publish_at_one_follower_reaches_a_subscriber_at_the_other() -> None:
    cluster = Cluster()
    _, a, b = others(cluster)
    subscriber = subscribed(cluster, b, "s", 2)
    publisher, _ = cluster.connected(a, "p")
    cluster.send(a, publisher, Publish("t/1", b"one", 1, packet_id=1), Publish("t/2", b"two", 2, packet_id=2))
    assert [Puback(1), Pubrec(2)] == cluster.take(a, publisher)
    cluster.send(a, publisher, Pubrel(2))
    assert [Pubcomp(2)] == cluster.take(a, publisher)
    expected = [Publish("t/1", b"one", 1, packet_id=1), Publish("t/2", b"two", 2, packet_id=2)]
    assert expected == cluster.take(b, subscriber)
    assert 1 == len(cluster.digests())


def test_qos_0_reaches_every_node_without_the_log() -> None:
    cluster = Cluster()
    leader, a, b = others(cluster)
    there = {number: subscribed(cluster, number, f"s{number}", 0) for number in cluster.numbers}
    publisher, _ = cluster.connected(a, "p")
    before = cluster.applied()
    cluster.send(a, publisher, *[Publish("t/1", b"%d" % number) for number in range(3)])
    for number in (leader, a, b):
        assert [Publish("t/1", b"%d" % each) for each in range(3)] == cluster.take(number, there[number])
    assert before == cluster.applied()


def test_the_cluster_goes_on_when_its_leader_dies() -> None:
    cluster = Cluster()
    leader, a, b = others(cluster)
    subscriber = subscribed(cluster, b, "s", 1, expiry_s=1_000)
    publisher, _ = cluster.connected(a, "p")
    cluster.kill(leader)
    cluster.send(a, publisher, Publish("t/1", b"late", 1, packet_id=1))
    assert [] == cluster.take(a, publisher)
    cluster.pass_time(4_000)
    assert [Puback(1)] == cluster.take(a, publisher)
    assert [Publish("t/1", b"late", 1, packet_id=1)] == cluster.take(b, subscriber)
    cluster.start(leader)
    cluster.pass_time(4_000)
    assert 1 == len(cluster.digests())
    assert 200 == cluster.ask(leader, "GET", "/readyz").status


def test_a_minority_acknowledges_nothing_and_loses_nothing() -> None:
    cluster = Cluster()
    leader, a, b = others(cluster)
    publisher, _ = cluster.connected(leader, "p")
    cluster.cut = {(x, y) for x in cluster.numbers for y in cluster.numbers if leader in (x, y)}
    cluster.send(leader, publisher, Publish("t/1", b"lonely", 1, packet_id=1))
    cluster.pass_time(5_000)
    assert [] == cluster.take(leader, publisher)
    assert cluster.leader() in (a, b)
    reply = cluster.ask(leader, "GET", "/readyz")
    assert 503 == reply.status
    assert "no leader" in str(reply.body)
    assert [200, 200] == [cluster.ask(number, "GET", "/readyz").status for number in (a, b)]
    cluster.cut = set()
    cluster.pass_time(5_000)
    assert [Puback(1)] == cluster.take(leader, publisher)
    assert 1 == len(cluster.digests())


def test_a_session_follows_its_client_to_another_node() -> None:
    cluster = Cluster()
    leader, a, b = others(cluster)
    subscribed(cluster, a, "s", 1, expiry_s=1_000)
    publisher, _ = cluster.connected(leader, "p")
    cluster.kill(a)
    cluster.send(leader, publisher, Publish("t/1", b"x", 1, packet_id=1))
    assert [Puback(1)] == cluster.take(leader, publisher)
    _, is_present = cluster.connected(b, "s", expiry_s=1_000, clean=False)
    assert is_present
    assert [b"x"] == [packet.payload for packet in cluster.rest if isinstance(packet, Publish)]


def test_a_silent_node_loses_its_connections_and_learns_of_it() -> None:
    cluster = Cluster()
    leader, a, _ = others(cluster)
    client, _ = cluster.connected(a, "c")
    cluster.cut = {(x, y) for x in cluster.numbers for y in cluster.numbers if a in (x, y)}
    cluster.pass_time(15_000)
    view = cluster.members[leader].up.partition.session_view("c")
    assert {} == view
    cluster.cut = set()
    cluster.pass_time(5_000)
    assert [client] == cluster.members[a].closed
    again, _ = cluster.connected(a, "c")
    assert again
    assert 1 == len(cluster.digests())


def test_whole_cluster_restart_keeps_what_was_acknowledged() -> None:
    cluster = Cluster()
    _, a, b = others(cluster)
    subscribed(cluster, b, "s", 1, expiry_s=1_000)
    publisher, _ = cluster.connected(a, "p")
    cluster.kill(b)
    for packet_id in range(1, 30):
        cluster.send(a, publisher, Publish("t/1", b"%d" % packet_id, 1, packet_id=packet_id))
        assert [Puback(packet_id)] == cluster.take(a, publisher)
    for number in cluster.numbers:
        cluster.kill(number)
    for number in cluster.numbers:
        cluster.start(number)
    cluster.pass_time(6_000)
    _, is_present = cluster.connected(a, "s", expiry_s=1_000, clean=False)
    assert is_present
    payloads = [packet.payload for packet in cluster.rest if isinstance(packet, Publish)]
    assert [b"%d" % each for each in range(1, 30)] == payloads


def test_a_client_waits_for_connack_until_there_is_a_leader() -> None:
    cluster = Cluster()
    leader, a, b = others(cluster)
    cluster.kill(leader)
    conn_id = cluster.connect(a, "c")
    assert [] == cluster.take(a, conn_id)
    cluster.pass_time(4_000)
    assert [Connack] == [type(packet) for packet in cluster.take(a, conn_id)]
    assert b


def test_a_node_that_stops_hands_over_and_ends_its_connections_in_the_log() -> None:
    cluster = Cluster()
    leader, a, _ = others(cluster)
    client, _ = cluster.connected(leader, "c")
    watcher = subscribed(cluster, a, "w", 1)
    cluster.send(leader, client, Publish("t/1", b"last", 1, packet_id=1))
    cluster.take(a, watcher)
    cluster.members[leader].inputs.stopping = True
    cluster.pass_time(1_000)
    assert [Puback, Disconnect] == [type(packet) for packet in cluster.take(leader, client)]
    assert cluster.members[leader].out.is_stopped
    assert cluster.leader() in cluster.numbers
    cluster.kill(leader)
    assert cluster.leader() not in (0, leader)
    assert {} == cluster.members[a].up.partition.session_view("c")


def test_a_node_without_a_leader_stops_all_the_same() -> None:
    cluster = Cluster()
    leader, a, b = others(cluster)
    client, _ = cluster.connected(a, "c")
    cluster.kill(leader)
    cluster.kill(b)
    cluster.send(a, client, Publish("t/1", b"never", 1, packet_id=1))
    cluster.members[a].inputs.stopping = True
    cluster.pass_time(6_000)
    assert cluster.members[a].out.is_stopped
    assert [Disconnect] == [type(packet) for packet in cluster.take(a, client)]


def test_a_leader_that_reaches_nobody_waits_without_turns() -> None:
    cluster = Cluster()
    for number in cluster.numbers:
        cluster.kill(number)
    for number in cluster.numbers:
        cluster.start(number)
    members = [*cluster.members.values()] * 1_000
    while not cluster.leader():
        cluster.now_ms += 1
        cluster.turn(members.pop())
    cluster.cut = {(one, other) for one in cluster.numbers for other in cluster.numbers}
    cluster.run()
    assert 503 == cluster.ask(cluster.leader(), "GET", "/readyz").status
