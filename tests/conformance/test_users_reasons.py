"""Goal: whoever is refused, dropped or disconnected can learn why: the client of 5.0 from the packet, and the operator of
every version at `/why`; method: the riddles that users of brokers told of, and what is said about each."""

import json
import urllib.request

import pytest

from tests.conformance import raw
from tests.conformance.broker_process import BrokerProcess
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import opened
from tests.conformance.raw import Raw


def why(broker: BrokerProcess, client_id: str) -> list[tuple[str, str]]:
    """(cause, detail) of what happened to a client, the newest first."""
    url = f"http://127.0.0.1:{broker.ports['http']}/why/client/{client_id}"
    with urllib.request.urlopen(url, timeout=5) as reply:
        return [(each["cause"], each["detail"]) for each in json.loads(reply.read())["recent"]]


def total(broker: BrokerProcess, cause: str) -> int:
    """How often something happened."""
    with urllib.request.urlopen(f"http://127.0.0.1:{broker.ports['http']}/why", timeout=5) as reply:
        return sum(each["count"] for each in json.loads(reply.read())["totals"] if each["cause"] == cause)


@pytest.mark.parametrize(
    ("packet", "code", "cause"),
    [
        (raw.publish(5, "", b"x", properties=[(raw.TOPIC_ALIAS, 9_999)]), 0x94, "topic_alias_invalid"),
        (raw.publish(5, "", b"x", properties=[(raw.TOPIC_ALIAS, 3)]), 0x82, "protocol_error"),
        (raw.publish(5, "a/+/b", b"x"), 0x90, "topic_name_invalid"),
        (raw.packet(raw.PUBLISH, 6, raw.utf8("t"), raw.u16(1), raw.props()), 0x81, "malformed_packet"),
        (raw.subscribe(5, 1, ("a/#/b", 0)), 0x8F, "topic_filter_invalid"),
    ],
    ids=["alias too great", "alias unknown", "wildcard in name", "QoS 3", "filter"],
)
@pytest.mark.versions(5)
def test_a_disconnect_says_what_was_wrong(
    broker: BrokerProcess,
    target: Target,
    version: int,
    name: str,
    bystander: Bystander,
    packet: bytes,
    code: int,
    cause: str,
) -> None:
    """There was "socket error", or "protocol error", and one of them was a topic alias."""
    client_id = name.replace(" ", "-")
    with opened(target, version, client_id) as client:
        client.send(packet)
        disconnect = client.expect(raw.DISCONNECT)
        assert code == disconnect.code
        reason = disconnect.value(raw.REASON_STRING)
        assert isinstance(reason, str)
        said, _, detail = reason.partition(": ")
        assert (said, detail) in why(broker, client_id)
        assert cause == said


@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_is_refused_does_not_look_delivered(
    broker: BrokerProcess, target: Target, version: int, name: str, qos: int
) -> None:
    """The publisher of a message that was not allowed was told that all was well. 3.1.1 has no way to say it: `/why` has."""
    with opened(target, version, name) as client:
        before = total(broker, "topic_name_invalid")
        client.send(raw.publish(version, "$SYS/mine", b"x", qos=qos, packet_id=1))
        answer = client.read()
        if version == 5:
            assert 0x80 <= answer.code
            assert str(answer.value(raw.REASON_STRING)).startswith("topic_name_invalid: ")
        client.ping()
        assert before + 1 == total(broker, "topic_name_invalid")
        assert "topic_name_invalid" in [cause for cause, _ in why(broker, name)]


@pytest.mark.versions(5)
def test_a_limit_names_itself_and_its_size(broker: BrokerProcess, target: Target, version: int, name: str) -> None:
    """Clients were stopped by a limiter that nobody could see."""
    with opened(target, version, name) as client:
        packets = [raw.publish(version, "t", b"x", qos=2, packet_id=number) for number in range(1, 258)]
        client.send(b"".join(packets))
        while (received := client.read()).type == raw.PUBREC:
            pass
        assert (raw.DISCONNECT, 0x93) == (received.type, received.code)
        reason = received.value(raw.REASON_STRING)
        assert isinstance(reason, str)
        assert "256" in reason
        assert tuple(reason.split(": ", 1)) in why(broker, name)


def test_a_client_that_was_taken_over_can_be_asked_about(
    broker: BrokerProcess, target: Target, version: int, name: str
) -> None:
    with Raw(target) as old, Raw(target) as new:
        old.open(version, name)
        new.open(version, name)
        old.expect_closed(0x8E)
        assert "session_taken_over" in [cause for cause, _ in why(broker, name)]
        new.disconnect()
