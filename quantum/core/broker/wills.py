"""Will Messages: when one becomes due, and how it is published. Source: MQTT 5.0 §3.1.2.5, §3.1.3.2.2."""

from quantum.core.broker.effects import Effects
from quantum.core.broker.expiry import WILL_DELAY
from quantum.core.broker.message import Message
from quantum.core.broker.partition import Partition
from quantum.core.broker.publishing import accept
from quantum.core.broker.session import Session


def publish_will(partition: Partition, effects: Effects, session: Session) -> None:
    """Publish the session's will, if it has one, and remove it, so that it is published once [MQTT-3.1.2-10]."""
    will = session.will
    if will is None:
        return
    remove_will(partition, session)
    message = Message(
        will.topic_name,
        will.payload,
        will.qos,
        will.retain,
        will.properties,
        will.message_expiry_s,
        session.client_id,
    )
    accept(partition, effects, message)


def remove_will(partition: Partition, session: Session) -> None:
    """The session has no will any more, or none any more of this connection."""
    partition.before_change(session)
    session.will = None
    session.will_due_ms = 0
    partition.deadlines.withdraw(WILL_DELAY, session.client_id)


def delay_will(partition: Partition, effects: Effects, session: Session) -> None:
    """The connection ended and the session did not: publish the will now, after its delay, or with the session's end.

    The session must know already when it ends.
    """
    will = session.will
    if will is None:
        return
    if will.delay_s == 0:
        publish_will(partition, effects, session)
        return
    due_ms = partition.stamp_ms + will.delay_s * 1000
    if session.ends_ms and due_ms >= session.ends_ms:
        return  # The session's end comes first [MQTT-3.1.2-8].
    session.will_due_ms = due_ms
    partition.deadlines.set(WILL_DELAY, session.client_id, due_ms)
