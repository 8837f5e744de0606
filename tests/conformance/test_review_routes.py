"""Goal: who receives a Topic Name follows the subscriptions there are, however often it was published to before; method:
publish to one name between each change.
"""

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import complete, ended, lasting, message, opened, resumed
from tests.conformance.raw import Raw
from tests.conformance.statements import statement

KINDS = pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])


@statement("MQTT-3.3.4-1", "MQTT-3.10.4-2", "311:MQTT-3.10.4-2")
@KINDS
@pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
def test_a_change_of_wildcards_counts_for_names_published_before(
    target: Target, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    filters = [f"{name}/+/t", f"{name}/#", f"{name}/a/+"]
    with (
        opened(target, version, f"{name}-p") as publisher,
        _subscriber(target, version, name, is_lasting) as subscriber,
    ):
        topic = f"{name}/a/t"
        publisher.publish(topic, b"nobody", qos=qos)
        for packet_id, topic_filter in enumerate(filters, 1):
            subscriber.subscribe((topic_filter, qos))
            publisher.publish(topic, b"one", qos=qos)
            assert b"one" == message(subscriber).payload
            subscriber.send(raw.unsubscribe(version, packet_id + 100, topic_filter))
            subscriber.expect(raw.UNSUBACK)
            publisher.publish(topic, b"nobody", qos=qos)
            subscriber.expect_silence()
    ended(target, version, f"{name}-s")


def _subscriber(target: Target, version: int, name: str, is_lasting: bool) -> Raw:
    return (lasting if is_lasting else opened)(target, version, f"{name}-s")


@statement("MQTT-3.10.4-3", "311:MQTT-3.10.4-3", "MQTT-4.4.0-1", "311:MQTT-4.4.0-1")
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
def test_a_delivery_that_began_outlives_its_subscription_and_its_connection(
    target: Target, version: int, name: str, qos: int
) -> None:
    with opened(target, version, f"{name}-p") as publisher:
        with lasting(target, version, f"{name}-s") as subscriber:
            subscriber.subscribe((f"{name}/t", qos))
            publisher.publish(f"{name}/t", b"begun", qos=qos)
            begun = subscriber.expect(raw.PUBLISH)
            subscriber.send(raw.unsubscribe(version, 9, f"{name}/t"))
            subscriber.expect(raw.UNSUBACK)
            subscriber.disconnect()
        with resumed(target, version, f"{name}-s") as again:
            repeated = again.expect(raw.PUBLISH)
            assert (b"begun", begun.packet_id, True) == (repeated.payload, repeated.packet_id, repeated.dup)
            complete(again, repeated)
            publisher.publish(f"{name}/t", b"late", qos=qos)
            again.expect_silence()
    ended(target, version, f"{name}-s")
