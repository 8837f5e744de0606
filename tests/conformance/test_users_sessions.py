"""Goal: who takes a session over, leaves it, or ends it, finds what the text says, whoever was faster; method: the stories
that users of brokers told, each again and again, since most of them were races."""

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import LASTING_S, ended, lasting, message, opened, resumed
from tests.conformance.raw import Raw, Will
from tests.conformance.statements import statement

TIMES = 20
STATEFUL = pytest.mark.versions(4, 5)


@statement("MQTT-3.1.4-3", "MQTT-3.1.2-6")
@STATEFUL
def test_takeover_of_a_session_that_ends_with_its_connection_inherits_nothing(
    target: Target, version: int, name: str
) -> None:
    """The outcome hung on a race: the session was inherited, or the will was lost. What decides is the old one's expiry."""
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((f"{name}/will", 0))
        old = Raw(target)
        for number in range(TIMES):
            will = Will(f"{name}/will", b"%d" % number)
            new = Raw(target)
            connack = new.open(version, name, clean=version == 4, will=will)
            assert not connack.session_present
            if number:
                old.expect_closed(0x8E)
                assert b"%d" % (number - 1) == message(watcher).payload
            watcher.publish(f"{name}/t", b"for nobody")
            new.ping()
            new.subscribe((f"{name}/t", 0))
            old.close()
            old = new
        old.disconnect()
        watcher.ping()


@STATEFUL
def test_a_lasting_session_taken_over_without_expiry_is_there_and_ends_with_the_taker(
    target: Target, version: int, name: str
) -> None:
    for _ in range(TIMES):
        with lasting(target, version, name) as old, Raw(target) as new:
            old.subscribe((f"{name}/t", 1))
            connack = new.open(version, name, clean=version == 4)
            assert connack.session_present == (version == 5)  # 3.1.1 can only ask for both or neither
            old.expect_closed(0x8E)
            new.publish(f"{name}/other", b"", qos=1)
            if version == 5:
                new.send(raw.publish(version, f"{name}/t", b"mine", qos=0))
                assert b"mine" == message(new).payload
            new.disconnect()
        with Raw(target) as last:
            assert not last.open(version, name, clean=False).session_present
            last.publish(f"{name}/t", b"for nobody", qos=1)
            last.ping()
        ended(target, version, name)


@statement("MQTT-3.1.2-8", "MQTT-3.1.4-3")
@STATEFUL
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_takeover_sends_the_will_of_the_old_connection_once_and_never_the_new_ones(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    """The will was not sent, or the new client's will was sent by the old connection's end."""
    properties = [(raw.SESSION_EXPIRY_INTERVAL, LASTING_S)] if version == 5 and is_lasting else []
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((f"{name}/will/+", 1))
        connections: list[Raw] = []
        for number in range(TIMES):
            client = Raw(target)
            will = Will(f"{name}/will/{number}", b"gone", qos=1)
            client.open(version, name, clean=not is_lasting, properties=properties, will=will)
            connections.append(client)
            if number:
                connections[number - 1].expect_closed(0x8E)
                assert f"{name}/will/{number - 1}" == message(watcher).topic
        watcher.ping()
        connections[-1].close()
        assert f"{name}/will/{TIMES - 1}" == message(watcher).topic
        watcher.ping()
        for client in connections:
            client.close()
    ended(target, version, name)


@statement("MQTT-3.1.3-9")
@pytest.mark.versions(5)
def test_a_delayed_will_is_not_sent_by_a_takeover_of_a_session_that_goes_on(
    target: Target, version: int, name: str
) -> None:
    properties = [(raw.SESSION_EXPIRY_INTERVAL, LASTING_S)]
    will = Will(f"{name}/will", b"gone", properties=[(raw.WILL_DELAY_INTERVAL, 60)])
    with opened(target, version, f"{name}-w") as watcher, Raw(target) as old:
        watcher.subscribe((f"{name}/will", 0))
        old.open(version, name, properties=properties, will=will)
        with resumed(target, version, name) as new:
            old.expect_closed(0x8E)
            new.ping()
            watcher.ping()
            new.disconnect()
        watcher.ping()
    ended(target, version, name)


@pytest.mark.versions(5)
@pytest.mark.parametrize("changed_s", [0, 30, LASTING_S, 0xFFFFFFFF])
def test_expiry_is_changed_by_disconnect(target: Target, version: int, name: str, changed_s: int) -> None:
    with opened(target, version, f"{name}-w") as writer, lasting(target, version, name) as client:
        client.subscribe((f"{name}/t", 1))
        client.disconnect(0, [(raw.SESSION_EXPIRY_INTERVAL, changed_s)])
        writer.publish(f"{name}/t", b"kept", qos=1)
        if changed_s:
            with resumed(target, version, name) as again:
                assert b"kept" == message(again).payload
                again.ping()
            ended(target, version, name)
        else:
            with Raw(target) as again:
                assert not again.open(version, name, clean=False).session_present
                again.ping()


@pytest.mark.versions(5)
def test_expiry_0_cannot_become_more_by_disconnect(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((f"{name}/will", 0))
        with opened(target, version, name, will=Will(f"{name}/will", b"gone")) as client:
            client.send(raw.disconnect(version, 0, [(raw.SESSION_EXPIRY_INTERVAL, 1)]))
            client.expect_closed(0x82)
        assert b"gone" == message(watcher).payload  # it did not leave in order
        with Raw(target) as again:
            assert not again.open(version, name, clean=False).session_present


@statement("MQTT-4.8.2-4")
@pytest.mark.versions(5)
def test_shared_group_serves_who_is_there_first_and_leaves_nothing_with_who_is_not(
    target: Target, version: int, name: str
) -> None:
    """Messages were kept for members that were away, while others of the group were there."""
    share = f"$share/g/{name}/t"
    away = lasting(target, version, f"{name}-away")
    away.subscribe((share, 1))
    away.disconnect()
    with lasting(target, version, f"{name}-here") as here, opened(target, version, f"{name}-w") as writer:
        here.subscribe((share, 1))
        for number in range(30):
            writer.publish(f"{name}/t", b"%d" % number, qos=1)
        assert [b"%d" % number for number in range(30)] == [message(here).payload for _ in range(30)]
        here.ping()
    with resumed(target, version, f"{name}-away") as back:
        back.ping()
    ended(target, version, f"{name}-away")
    ended(target, version, f"{name}-here")


@pytest.mark.versions(5)
@pytest.mark.parametrize("how", ["unsubscribes", "ends its session"])
def test_what_a_leaving_member_was_not_yet_sent_goes_to_the_others(
    target: Target, version: int, name: str, how: str
) -> None:
    """Ghost members lost a third of the messages; none may be lost, none given to two."""
    share = f"$share/g/{name}/t"
    one_at_a_time = [(raw.RECEIVE_MAXIMUM, 1)]
    with (
        lasting(target, version, f"{name}-a", properties=one_at_a_time) as leaving,
        lasting(target, version, f"{name}-b") as staying,
        opened(target, version, f"{name}-w") as writer,
    ):
        leaving.subscribe((share, 1))
        staying.subscribe((share, 1))
        for number in range(30):
            writer.publish(f"{name}/t", b"%d" % number, qos=1)
        first = leaving.expect(raw.PUBLISH)
        if how == "unsubscribes":
            leaving.send(raw.unsubscribe(version, 2, share))
            leaving.expect(raw.UNSUBACK)
            mine = [first.payload]
            leaving.send(raw.ack(version, raw.PUBACK, first.packet_id))
            # What was its own before it left is delivered to it still [MQTT-3.10.4-2].
            mine += [message(leaving).payload for _ in range(14)]
            leaving.ping()
        else:
            leaving.send(raw.ack(version, raw.PUBACK, first.packet_id))
            mine = [first.payload, leaving.expect(raw.PUBLISH).payload]
            leaving.disconnect(0, [(raw.SESSION_EXPIRY_INTERVAL, 0)])
            mine.pop()  # it never acknowledged the second one
        theirs = [message(staying).payload for _ in range(30 - len(mine))]
        staying.ping()
        assert sorted(b"%d" % number for number in range(30)) == sorted(mine + theirs)
    ended(target, version, f"{name}-a")
    ended(target, version, f"{name}-b")
