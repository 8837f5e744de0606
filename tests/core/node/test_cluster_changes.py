"""Goal: operators move leadership and membership while clients are served, and are told why where that cannot be.
Method: the management resources of nodes whose frames are passed by hand."""

import pytest

from quantum.core.admin.cluster import RESOURCES
from quantum.core.mqtt.packets import Puback, Publish, Suback, Subscribe, Subscription
from quantum.core.node.node import PARTITION
from tests.core.node.cluster import Cluster


def members(cluster: Cluster, number: int) -> tuple[object, object]:
    body = cluster.ask(number, "GET", "/cluster").body
    assert body is not None
    groups = body["groups"]
    assert isinstance(groups, list)
    (group,) = groups
    assert [] == group["outgoing"]
    return group["voters"], group["learners"]


def published(cluster: Cluster, number: int, client_id: str, packet_id: int = 1) -> None:
    conn_id, _ = cluster.connected(number, client_id)
    cluster.send(number, conn_id, Publish("t", b"x", 1, packet_id=packet_id))
    cluster.pass_time(3_000)
    assert [Puback(packet_id)] == cluster.take(number, conn_id)


def test_leadership_moves_to_the_node_that_is_named() -> None:
    cluster = Cluster()
    leader = cluster.leader()
    to = next(number for number in cluster.numbers if number != leader)
    conn_id, _ = cluster.connected(leader, "c")
    assert 202 == cluster.ask(leader, "POST", "/cluster/transfer", to=str(to)).status
    assert to == cluster.leader()
    cluster.send(leader, conn_id, Publish("t", b"x", 1, packet_id=1))
    assert [Puback(1)] == cluster.take(leader, conn_id)


def test_a_follower_says_who_leads() -> None:
    cluster = Cluster()
    leader = cluster.leader()
    other = next(number for number in cluster.numbers if number != leader)
    reply = cluster.ask(other, "POST", "/cluster/transfer", to="1")
    assert 409 == reply.status
    assert f"ask node {leader}" in str(reply.body)


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "said"),
    [
        ("POST", "/cluster/transfer", {}, 400, "to=''"),
        ("POST", "/cluster/transfer", {"to": "x"}, 400, "to='x'"),
        ("POST", "/cluster/transfer", {"to": "77"}, 409, "node 77 is no voter"),
        ("POST", "/cluster/membership", {}, 400, "voters at least one"),
        ("POST", "/cluster/membership", {"voters": "1,1"}, 400, "node numbers"),
        ("POST", "/cluster/membership", {"voters": "1,2,3"}, 409, "nothing would change"),
        ("POST", "/cluster/membership", {"voters": "1,2", "learners": "2"}, 409, "a voter or a learner"),
        ("GET", "/cluster/membership", {}, 405, "POST /cluster/membership"),
        ("POST", "/cluster", {}, 405, "GET /cluster"),
        ("GET", "/cluster/nothing", {}, 404, RESOURCES),
    ],
)
def test_wrong_requests_are_told_what_is_wrong(
    method: str, path: str, query: dict[str, str], status: int, said: str
) -> None:
    reply = RUNNING.ask(RUNNING.leader(), method, path, **query)
    assert status == reply.status
    assert said in str(reply.body)


def test_a_node_joins_as_a_learner_and_becomes_a_voter() -> None:
    cluster = Cluster()
    published(cluster, 1, "before")
    cluster.add(4)
    cluster.start(4)
    cluster.pass_time(1_000)
    assert 202 == cluster.ask(cluster.leader(), "POST", "/cluster/membership", voters="1,2,3", learners="4").status
    cluster.pass_time(3_000)
    assert ([1, 2, 3], [4]) == members(cluster, 4)
    assert 200 == cluster.ask(4, "GET", "/readyz").status
    assert 202 == cluster.ask(cluster.leader(), "POST", "/cluster/membership", voters="1,2,3,4").status
    cluster.pass_time(3_000)
    for number in (1, 2, 3, 4):
        assert ([1, 2, 3, 4], []) == members(cluster, number)
    published(cluster, 4, "after")
    assert 1 == len(cluster.digests())


def test_a_new_node_takes_the_place_of_a_dead_one() -> None:
    cluster = Cluster()
    leader = cluster.leader()
    dead = next(number for number in cluster.numbers if number != leader)
    cluster.kill(dead)
    cluster.add(9)
    cluster.start(9)
    voters = sorted({1, 2, 3, 9} - {dead})
    text = ",".join(str(number) for number in voters)
    assert 202 == cluster.ask(leader, "POST", "/cluster/membership", voters=text).status
    cluster.pass_time(5_000)
    assert (voters, []) == members(cluster, 9)
    cluster.kill(leader)
    cluster.pass_time(5_000)
    published(cluster, 9, "c")


def test_a_leader_that_is_removed_steps_down_and_its_node_is_not_heard_any_more() -> None:
    cluster = Cluster()
    leader = cluster.leader()
    rest = [number for number in cluster.numbers if number != leader]
    text = ",".join(str(number) for number in rest)
    assert 202 == cluster.ask(leader, "POST", "/cluster/membership", voters=text).status
    cluster.pass_time(6_000)
    assert cluster.leader() in rest
    published(cluster, rest[0], "c")
    reply = cluster.ask(leader, "GET", "/readyz")
    assert 503 == reply.status
    assert "no member of the cluster" in str(reply.body)


def test_a_sole_voter_grows_to_three_and_shrinks_back() -> None:
    cluster = Cluster((1,))
    published(cluster, 1, "before")
    for number in (2, 3):
        cluster.add(number)
        cluster.start(number)
    assert 202 == cluster.ask(1, "POST", "/cluster/membership", voters="1,2,3").status
    cluster.pass_time(5_000)
    subscriber, _ = cluster.connected(3, "s")
    cluster.send(3, subscriber, Subscribe(9, [Subscription("t", 0)]))
    assert [Suback(9, [0])] == cluster.take(3, subscriber)
    published(cluster, 2, "p")
    assert [b"x"] == [packet.payload for packet in cluster.take(3, subscriber) if isinstance(packet, Publish)]
    for number in (1, 2, 3):
        cluster.kill(number)
    for number in (1, 2, 3):
        cluster.start(number)
    cluster.pass_time(6_000)
    assert 1 == len(cluster.digests())
    leader = cluster.leader()
    assert 202 == cluster.ask(leader, "POST", "/cluster/membership", voters=str(leader)).status
    cluster.pass_time(3_000)
    for number in (1, 2, 3):
        if number != leader:
            cluster.kill(number)
    cluster.kill(leader)
    cluster.start(leader)
    cluster.run()
    assert leader == cluster.members[leader].up.storage.groups[PARTITION].leader
    published(cluster, leader, "last")


RUNNING = Cluster()


def test_metrics_say_who_leads_and_how_far_everybody_is() -> None:
    for number in RUNNING.numbers:
        body = RUNNING.ask(number, "GET", "/metrics").body
        assert body is not None
        rows = {row[0]: row[3] for row in body["samples"]}  # type: ignore[attr-defined]
        assert [[{"group": "1"}, 1 if number == RUNNING.leader() else 0]] == rows["quantum_group_is_leading"]
        assert RUNNING.applied()[0] == rows["quantum_group_applied_index"][0][1]
        assert 0 < rows["quantum_peer_frames_sent"][0][1]
