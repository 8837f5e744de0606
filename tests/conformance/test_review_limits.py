"""Goal: a server that lacks something, or allows less than is asked for, says so in CONNACK and keeps to it (3.2.2.3);
method: Quantum with the setting, and what it answers to who asks for more.
"""

from collections.abc import Callable

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import ended, message, opened
from tests.conformance.raw import Raw
from tests.conformance.statements import statement

Configured = Callable[..., Target]


@pytest.mark.parametrize(
    ("setting", "identifier", "refused", "code"),
    [
        ("mqtt.shared_available=false", raw.SHARED_AVAILABLE, "$share/g/{}/t", 0x9E),
        ("mqtt.wildcard_available=false", raw.WILDCARD_AVAILABLE, "{}/+", 0xA2),
        ("mqtt.wildcard_available=false", raw.WILDCARD_AVAILABLE, "$share/g/{}/#", 0xA2),
    ],
    ids=["shared", "wildcard", "wildcard-in-share"],
)
def test_a_kind_of_filter_that_is_not_served_is_told_and_refused(
    configured: Configured, version: int, name: str, setting: str, identifier: int, refused: str, code: int
) -> None:
    """3.2.2.3.11, 3.2.2.3.13. The filter beside it is granted, and nothing comes for the one refused."""
    target = configured(setting)
    with Raw(target) as subscriber, opened(target, version, f"{name}-p") as publisher:
        connack = subscriber.open(version, f"{name}-s")
        assert (0 if version == 5 else None) == connack.value(identifier)
        answer = subscriber.subscribe((refused.format(name), 1), (f"{name}/plain", 1)).codes
        assert [code if version == 5 else 0x80, 1] == answer
        publisher.publish(f"{name}/t", b"x", qos=1)
        publisher.publish(f"{name}/plain", b"x", qos=1)
        assert f"{name}/plain" == message(subscriber).topic
        subscriber.expect_silence()


@pytest.mark.parametrize("identifier", [raw.SHARED_AVAILABLE, raw.WILDCARD_AVAILABLE, raw.RETAIN_AVAILABLE])
@pytest.mark.versions(5)
def test_what_is_served_is_not_denied(target: Target, version: int, identifier: int) -> None:
    """Absent means served, as 1 does; what the other tests here use must not be declared missing."""
    with Raw(target) as connection:
        assert connection.open(version).value(identifier) in (None, 1)


@statement("MQTT-4.1.0-2", "MQTT-3.1.2-23")
@pytest.mark.parametrize(("asked", "told"), [(None, None), (0, None), (1, None), (2, 1), (0xFFFFFFFF, 1)])
@pytest.mark.versions(5)
def test_a_session_lasts_no_longer_than_connack_says(
    configured: Configured, version: int, name: str, asked: int | None, told: int | None
) -> None:
    """3.2.2.3.2: the server's value is told where it is another. DISCONNECT does not get past it either."""
    target = configured("mqtt.session_expiry_s_max=1")
    properties: list[raw.Property] = [] if asked is None else [(raw.SESSION_EXPIRY_INTERVAL, asked)]
    with Raw(target) as first:
        assert told == first.open(version, name, properties=properties).value(raw.SESSION_EXPIRY_INTERVAL)
        first.disconnect(0, [(raw.SESSION_EXPIRY_INTERVAL, 600)] if asked else [])
    with opened(target, version, f"{name}-clock", keep_alive=1) as clock:
        clock.expect_closed(0x8D)
    with Raw(target) as second:
        assert not second.open(version, name, clean=False).session_present


@statement("311:MQTT-4.8.0-2")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_a_retained_message_that_finds_no_room_is_not_acknowledged_as_if_it_were_kept(
    configured: Configured, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    """5.0 is told. 3.x cannot be: its connection ends, with its will, and goes on with its session at the next."""
    target = configured("broker.retained_messages_max=0")
    kind = raw.PUBACK if qos == 1 else raw.PUBREC
    with opened(target, version, f"{name}-w") as watcher, Raw(target, version) as publisher:
        watcher.subscribe((f"{name}/#", 0))
        publisher.open(version, name, clean=not is_lasting, will=raw.Will(f"{name}/will", b"w"))
        publisher.send(raw.publish(version, f"{name}/t", b"x", qos=qos, retain=True, packet_id=1) * 2)
        if version == 5:
            assert [0x97, 0x97] == [publisher.expect(kind).code for _ in range(2)]
            publisher.disconnect()
        else:
            publisher.expect_end()
            assert f"{name}/will" == watcher.expect(raw.PUBLISH).topic
        with Raw(target, version) as again:
            again.open(version, name, clean=not is_lasting)
            again.publish(f"{name}/t", b"y", qos=qos)
            assert b"y" == message(watcher).payload
    ended(target, version, name)
