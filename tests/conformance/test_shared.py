"""Goal: a message for a Shared Subscription (4.8.2) reaches exactly one member, whoever comes and goes; method: members
that read, leave, refuse, and a publisher.
"""

from collections.abc import Sequence

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import RETAIN_AS_PUBLISHED, complete, ended, lasting, message, opened, resumed, unretain
from tests.conformance.raw import Raw, Received
from tests.conformance.statements import statement

QOS = pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
LAST = b"the last one for everybody"


def received_by(members: Sequence[Raw], publisher: Raw, topic: str) -> list[list[Received]]:
    """What each member gets until a message that all of them are subscribed to."""
    publisher.publish(topic, LAST)
    out: list[list[Received]] = []
    for member in members:
        mine: list[Received] = []
        while (received := member.expect(raw.PUBLISH)).payload != LAST:
            mine.append(received)
        for each in mine:
            complete(member, each)
        out.append(mine)
    return out


@statement("MQTT-4.8.2-3", "MQTT-3.8.4-8")
@QOS
@pytest.mark.parametrize("members", [1, 2, 5])
@pytest.mark.versions(5)
def test_each_message_reaches_one_member(target: Target, version: int, name: str, qos: int, members: int) -> None:
    clients = [opened(target, version, f"{name}-{number}") for number in range(members)]
    with opened(target, version, f"{name}-p") as publisher:
        for client in clients:
            client.subscribe((f"$share/g/{name}/t", qos), (f"{name}/all", 0))
        for number in range(20):
            publisher.publish(f"{name}/t", b"%d" % number, qos=qos)
        shares = received_by(clients, publisher, f"{name}/all")
        came = [each for share in shares for each in share]
        assert sorted(b"%d" % number for number in range(20)) == sorted(each.payload for each in came)
        assert {qos} == {each.qos for each in came}
    for client in clients:
        client.close()


@statement("MQTT-4.8.2-3", "MQTT-3.8.4-8")
@pytest.mark.versions(5)
def test_each_member_gets_the_qos_it_was_granted(target: Target, version: int, name: str) -> None:
    clients = [opened(target, version, f"{name}-{qos}") for qos in range(3)]
    with opened(target, version, f"{name}-p") as publisher:
        for qos, client in enumerate(clients):
            assert [qos] == client.subscribe((f"$share/g/{name}/t", qos)).codes
            client.subscribe((f"{name}/all", 0))
        for number in range(12):
            publisher.publish(f"{name}/t", b"%d" % number, qos=2)
        shares = received_by(clients, publisher, f"{name}/all")
        assert 12 == sum(len(share) for share in shares)
        for qos, share in enumerate(shares):
            assert all(each.qos == qos for each in share)
    for client in clients:
        client.close()


@statement("MQTT-4.8.2-1", "MQTT-4.8.2-2")
@pytest.mark.versions(5)
def test_groups_and_ordinary_subscriptions_do_not_share_with_each_other(
    target: Target, version: int, name: str
) -> None:
    """One copy for each ShareName, one for each filter under the same ShareName, one for the ordinary subscription."""
    filters = [f"$share/a/{name}/t", f"$share/b/{name}/t", f"$share/a/{name}/+", f"{name}/t"]
    clients = [opened(target, version, f"{name}-{number}") for number in range(len(filters))]
    with opened(target, version, f"{name}-p") as publisher:
        for client, topic_filter in zip(clients, filters, strict=True):
            client.subscribe((topic_filter, 1), (f"{name}/all/end", 0))
        for number in range(3):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        for share in received_by(clients, publisher, f"{name}/all/end"):
            assert [b"0", b"1", b"2"] == [each.payload for each in share]
    for client in clients:
        client.close()


@statement("MQTT-3.3.4-3")
@pytest.mark.versions(5)
def test_a_share_brings_its_own_identifier_and_the_ordinary_copy_another(
    target: Target, version: int, name: str
) -> None:
    with opened(target, version, f"{name}-s") as client, opened(target, version, f"{name}-p") as publisher:
        client.subscribe((f"$share/g/{name}/t", 1), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 1)])
        client.subscribe((f"{name}/#", 1), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 2)])
        client.subscribe((f"{name}/+", 1), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 3)])
        publisher.publish(f"{name}/t", b"x", qos=1)
        (share,) = received_by([client], publisher, f"{name}/all/end")
        identifiers = [each.values(raw.SUBSCRIPTION_IDENTIFIER) for each in share]
        assert [1] in identifiers
        identifiers.remove([1])
        assert {2, 3} == {value for values in identifiers for value in values}


@statement("MQTT-3.3.1-13")
@pytest.mark.parametrize("options, expected", [(0, False), (RETAIN_AS_PUBLISHED, True)], ids=["cleared", "published"])
@pytest.mark.versions(5)
def test_a_share_has_no_retained_messages_and_its_own_retain_flag(
    target: Target, version: int, name: str, options: int, expected: bool
) -> None:
    with opened(target, version, f"{name}-s") as client, opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/t", b"kept", qos=1, retain=True)
        client.subscribe((f"$share/g/{name}/t", 1 | options))
        client.expect_silence()
        publisher.publish(f"{name}/t", b"live", qos=1, retain=True)
        received = message(client)
        assert (b"live", expected) == (received.payload, received.retain)
    unretain(target, f"{name}/t")


@statement("MQTT-4.8.2-1", "MQTT-4.8.2-2", "MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "topic_filter",
    [
        "$share//t",
        "$share/g",
        "$share/g/",
        "$share/g+/t",
        "$share/+/t",
        "$share/g#/t",
        "$share/#",
        "$share/g/a#",
        "$share/",
    ],
    ids=["empty", "no-filter", "empty-filter", "plus", "only-plus", "hash", "only-hash", "bad-filter", "nothing"],
)
@pytest.mark.versions(5)
def test_a_share_that_is_not_well_formed_is_refused(
    target: Target, version: int, name: str, topic_filter: str, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.subscribe(version, 1, (topic_filter, 0)))
        received = connection.read_or_end()
        if received is not None and received.type == raw.SUBACK:
            assert [0x8F] == received.codes
        elif received is not None:
            assert (raw.DISCONNECT, True) == (received.type, received.code in (0x81, 0x82, 0x8F))
            connection.expect_end()


@statement("MQTT-4.8.2-2", "MQTT-4.7.1-1")
@pytest.mark.parametrize(
    "topic_filter", ["$share/ a ä/{}/#", "$share/$share/{}/+/b", "$share/g//{}", "$share/g/$x/{}/#"]
)
@pytest.mark.versions(5)
def test_whatever_is_well_formed_is_a_share(target: Target, version: int, name: str, topic_filter: str) -> None:
    topic = topic_filter.format("NAME").split("/", 2)[2].replace("#", "a").replace("+", "a").replace("NAME", name)
    with opened(target, version, f"{name}-s") as client, opened(target, version, f"{name}-p") as publisher:
        assert [1] == client.subscribe((topic_filter.format(name), 1)).codes
        publisher.publish(topic, b"x", qos=1)
        assert topic == message(client).topic


@statement("MQTT-4.8.2-1", "MQTT-3.3.2-3")
@pytest.mark.versions(5)
def test_a_name_that_begins_with_share_is_no_way_into_a_group(target: Target, version: int, name: str) -> None:
    """A server may refuse it as well; what is shared is chosen by subscribers, never by publishers."""
    with opened(target, version, f"{name}-s") as client, opened(target, version, f"{name}-p") as publisher:
        client.subscribe((f"$share/g/{name}/t", 1), (f"{name}/t", 0))
        publisher.send(raw.publish(version, f"$share/g/{name}/t", b"x", qos=1, packet_id=1) + raw.pingreq())
        while (received := publisher.read_or_end()) is not None and received.type != raw.PINGRESP:
            assert received.type in (raw.PUBACK, raw.DISCONNECT)
        client.expect_silence()


# -- members that leave -----------------------------------------------------------------------------------------------


@statement("MQTT-3.10.4-2")
@pytest.mark.parametrize("how", ["unsubscribes", "disconnects", "drops"])
@pytest.mark.versions(5)
def test_members_that_left_take_no_share(target: Target, version: int, name: str, how: str) -> None:
    leaving, staying = (opened(target, version, f"{name}-{which}") for which in ("leaving", "staying"))
    with leaving, staying, opened(target, version, f"{name}-p") as publisher:
        for client in (leaving, staying):
            client.subscribe((f"$share/g/{name}/t", 1))
        if how == "unsubscribes":
            leaving.send(raw.unsubscribe(version, 2, f"$share/g/{name}/t"))
            leaving.expect(raw.UNSUBACK)
        elif how == "disconnects":
            leaving.disconnect()
        else:
            leaving.close()
        if how != "unsubscribes":
            ended(target, version, f"{name}-leaving")
        for number in range(6):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        assert [b"%d" % number for number in range(6)] == [message(staying).payload for _ in range(6)]


@pytest.mark.versions(5)
def test_what_was_sent_and_not_acknowledged_is_not_lost_with_its_member(
    target: Target, version: int, name: str
) -> None:
    """QoS 1: when a member's session ends, the message goes to another one, or was sent to the other before."""
    if not target.says_why:
        pytest.skip("4.8.2 says SHOULD; Quantum does")
    holding, staying = lasting(target, version, f"{name}-a"), lasting(target, version, f"{name}-b")
    with holding, staying, opened(target, version, f"{name}-p") as publisher:
        for client in (holding, staying):
            client.subscribe((f"$share/g/{name}/t", 1))
        for number in range(6):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        holding.send(raw.pingreq())
        held: list[bytes] = []
        while (received := holding.read()).type == raw.PUBLISH:
            held.append(received.payload)
        assert raw.PINGRESP == received.type
        holding.disconnect(0, [(raw.SESSION_EXPIRY_INTERVAL, 0)])
        came = {message(staying).payload for _ in range(6)}
        assert {b"%d" % number for number in range(6)} == came
        assert len(held) < 6
    ended(target, version, f"{name}-b")


@pytest.mark.parametrize("how", ["drops", "disconnects", "is taken over", "breaks the rules"])
@pytest.mark.parametrize("window", [2, 100], ids=["full", "wide"])
@pytest.mark.versions(5)
def test_what_a_member_without_expiry_did_not_acknowledge_is_given_to_another(
    target: Target, version: int, name: str, window: int, how: str
) -> None:
    """QoS 1: what it acknowledged stays its own; what was sent, and what waited for its window, comes in order."""
    if not target.says_why:
        pytest.skip("4.8.2 says SHOULD; Quantum does")
    properties = [(raw.RECEIVE_MAXIMUM, window)]
    holding = opened(target, version, f"{name}-a", properties=properties)
    with holding, opened(target, version, f"{name}-b") as other, opened(target, version, f"{name}-p") as publisher:
        holding.subscribe((f"$share/g/{name}/t", 1))
        for number in range(6):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        complete(holding, holding.expect(raw.PUBLISH))
        for _ in range(min(window, 5)):
            holding.expect(raw.PUBLISH)
        other.subscribe((f"$share/g/{name}/t", 1))
        if how == "drops":
            holding.close()
        elif how == "disconnects":
            holding.disconnect()
        elif how == "is taken over":
            opened(target, version, f"{name}-a").close()
        else:
            holding.send(raw.packet(raw.PINGREQ, 0, b"\x00"))
        came = [message(other) for _ in range(5)]
        assert [b"%d" % number for number in range(1, 6)] == [each.payload for each in came]
        assert not any(each.dup for each in came)
        other.expect_silence()


@statement("MQTT-4.8.2-5")
@pytest.mark.parametrize("step", ["publish", "pubrel"])
@pytest.mark.versions(5)
def test_a_qos_2_delivery_that_began_ends_with_a_member_without_expiry(
    target: Target, version: int, name: str, step: str
) -> None:
    holding = opened(target, version, f"{name}-a", properties=[(raw.RECEIVE_MAXIMUM, 1)])
    with holding, opened(target, version, f"{name}-b") as other, opened(target, version, f"{name}-p") as publisher:
        holding.subscribe((f"$share/g/{name}/t", 2))
        publisher.publish(f"{name}/t", b"began", qos=2)
        publisher.publish(f"{name}/t", b"waited", qos=2)
        received = holding.expect(raw.PUBLISH)
        assert b"began" == received.payload
        if step == "pubrel":
            holding.send(raw.ack(version, raw.PUBREC, received.packet_id))
            holding.expect(raw.PUBREL)
        other.subscribe((f"$share/g/{name}/t", 2))
        holding.close()
        if target.says_why:
            assert b"waited" == message(other).payload
        other.expect_silence()


@statement("MQTT-4.8.2-4", "MQTT-4.4.0-1")
@pytest.mark.parametrize("step", ["publish", "pubrel"])
@pytest.mark.versions(5)
def test_a_qos_2_delivery_is_completed_to_the_member_it_began_with(
    target: Target, version: int, name: str, step: str
) -> None:
    with opened(target, version, f"{name}-p") as publisher, lasting(target, version, f"{name}-a") as first:
        first.subscribe((f"$share/g/{name}/t", 2))
        publisher.publish(f"{name}/t", b"x", qos=2)
        packet_id = first.expect(raw.PUBLISH).packet_id
        if step == "pubrel":
            first.send(raw.ack(version, raw.PUBREC, packet_id))
            first.expect(raw.PUBREL)
        with opened(target, version, f"{name}-b") as second:
            second.subscribe((f"$share/g/{name}/t", 2))
            first.close()
            second.ping()
            with resumed(target, version, f"{name}-a") as again:
                if step == "publish":
                    received = message(again)
                    assert (b"x", packet_id, True) == (received.payload, received.packet_id, received.dup)
                else:
                    assert packet_id == again.expect(raw.PUBREL).packet_id
                    again.send(raw.ack(version, raw.PUBCOMP, packet_id))
                again.expect_silence()
            second.expect_silence()
    ended(target, version, f"{name}-a")


@statement("MQTT-4.8.2-5", "MQTT-4.1.0-2")
@pytest.mark.parametrize("step", ["publish", "pubrel"])
@pytest.mark.versions(5)
def test_a_qos_2_delivery_that_began_is_not_given_to_another_member(
    target: Target, version: int, name: str, step: str
) -> None:
    with opened(target, version, f"{name}-p") as publisher, lasting(target, version, f"{name}-a") as first:
        first.subscribe((f"$share/g/{name}/t", 2))
        publisher.publish(f"{name}/t", b"x", qos=2)
        packet_id = first.expect(raw.PUBLISH).packet_id
        if step == "pubrel":
            first.send(raw.ack(version, raw.PUBREC, packet_id))
            first.expect(raw.PUBREL)
        with opened(target, version, f"{name}-b") as second:
            second.subscribe((f"$share/g/{name}/t", 2))
            first.close()
            ended(target, version, f"{name}-a")
            second.expect_silence()
            publisher.publish(f"{name}/t", b"next", qos=2)
            assert b"next" == message(second).payload


@statement("MQTT-4.8.2-6", "MQTT-4.4.0-2")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
@pytest.mark.versions(5)
def test_what_a_member_refused_is_not_given_to_another(
    target: Target, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-a") as refusing,
        opened(target, version, f"{name}-b") as other,
        opened(target, version, f"{name}-p") as publisher,
    ):
        refusing.subscribe((f"$share/g/{name}/t", qos))
        publisher.publish(f"{name}/t", b"x", qos=qos)
        received = refusing.expect(raw.PUBLISH)
        other.subscribe((f"$share/g/{name}/t", qos))
        kind = raw.PUBACK if qos == 1 else raw.PUBREC
        refusing.send(raw.ack(version, kind, received.packet_id, 0x83))
        refusing.ping()
        refusing.disconnect()
        ended(target, version, f"{name}-a")
        other.expect_silence()
        publisher.publish(f"{name}/t", b"next", qos=qos)
        assert b"next" == message(other).payload


@statement("MQTT-4.8.2-3")
@pytest.mark.versions(5)
def test_what_waits_for_members_that_are_away_is_delivered_once(target: Target, version: int, name: str) -> None:
    """All members are gone for now: each message waits for one of them."""
    names = [f"{name}-{letter}" for letter in "ab"]
    for client_id in names:
        with lasting(target, version, client_id) as client:
            client.subscribe((f"$share/g/{name}/t", 1))
            client.disconnect()
    with opened(target, version, f"{name}-p") as publisher:
        for number in range(10):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        clients = [resumed(target, version, client_id) for client_id in names]
        payloads: list[bytes] = []
        for client in clients:
            client.send(raw.pingreq())
            while (received := client.read()).type == raw.PUBLISH:
                payloads.append(received.payload)
                complete(client, received)
            client.close()
        assert [b"%d" % number for number in range(10)] == sorted(payloads)
    for client_id in names:
        ended(target, version, client_id)
