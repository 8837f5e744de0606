"""Bugs to plant: each is one exact piece of the product's source and what stands there instead.

A simulator that finds nothing in these proves nothing by finding nothing in the product. Every one is a bug that some
broker or log has had. Source: FAULTS §0.9, §3.2.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`old` stands exactly once in the file."""

    name: str
    path: str  # below the package
    old: str
    new: str
    profile: str = "mqtt"  # whose seeds find it
    also: tuple[tuple[str, str, str], ...] = ()  # path, old, new: the second guard, where one alone changes nothing

    def pieces(self) -> tuple[tuple[str, str, str], ...]:
        """(path, old, new), all of them."""
        return ((self.path, self.old, self.new), *self.also)


MUTANTS = (
    Mutant(
        "acknowledged before the sync",
        "core/node/storage.py",
        "            if self._config.is_relaxed:\n",
        "            if True:\n",
    ),
    Mutant(
        "Packet Identifier freed at PUBREC",
        "core/broker/outgoing.py",
        "            session.inflight.release(packet_id)\n",
        "            _end_exchange(partition, session, packet_id, copy)\n",
    ),
    Mutant(
        "torn tail kept",
        "core/wal/batch.py",
        "    if crc != head.body_crc or end > len(data):\n",
        "    if crc != head.body_crc and not head.sequence:\n",
    ),
    Mutant(
        "damage inside the log cut",
        "core/wal/recovery.py",
        "            batch = self._find(self._at)\n",
        "            batch = None\n            self._content_end = self._at\n",
    ),
    Mutant(
        "message expiry off by one second",
        "core/broker/publishing.py",
        "        message.deadline_ms = partition.stamp_ms + message.message_expiry_s * 1000\n",
        "        message.deadline_ms = partition.stamp_ms + (message.message_expiry_s + 1) * 1000\n",
    ),
    Mutant(
        "retained message not deleted",
        "core/broker/publishing.py",
        "    if not message.payload:\n        forget_retained(partition, topic_name)\n        return\n",
        "    if not message.payload:\n        return\n",
    ),
    Mutant(
        "QoS 2 state lost at a restart",
        "core/broker/lifecycle.py",
        "        session = partition.sessions[client_id]\n        partition.before_change(session)\n",
        "        session = partition.sessions[client_id]\n        session.received.__init__()  # type: ignore[misc]\n",
    ),
    Mutant(
        "queue served from the wrong end",
        "core/broker/queue.py",
        "        items.popleft()\n        return item\n",
        "        last = items[-1]\n        if isinstance(last, RetainedRun):\n            last = items.popleft()\n"
        "        else:\n            items.pop()\n        return last\n",
    ),
    Mutant(
        "shared message to two members",
        "core/broker/publishing.py",
        "        if not _give(partition, effects, group, message):\n            accounting.drop(SHARED_GROUP_EMPTY.number)\n",
        "        _give(partition, effects, group, message)\n"
        "        if not _give(partition, effects, group, message):\n            accounting.drop(SHARED_GROUP_EMPTY.number)\n",
    ),
    Mutant(
        "will sent after DISCONNECT",
        "core/broker/lifecycle.py",
        "        session.will = None  # [MQTT-3.14.4-3]\n",
        "        session.will = session.will\n",
    ),
    Mutant(
        "QoS 2 state missing in snapshots",
        "core/broker/buckets.py",
        "        session.received.add(packet_id)\n",
        "        session.received.add(65_535)\n",
    ),
    Mutant(
        "retransmitted QoS 2 message accepted again",
        "core/broker/publishing.py",
        "    if packet_id and packet_id in session.received:\n",
        "    if packet_id and len(session.received) < 0:\n",
    ),
    Mutant(
        "commands of a stale connection obeyed",
        "core/broker/lifecycle.py",
        "    if session is None or session.conn_epoch != command.conn_epoch or command.conn_epoch == 0:\n",
        "    if session is None or session.conn_epoch == 0:\n",
    ),
    Mutant(
        "redelivery without DUP",
        "core/broker/outgoing.py",
        "            effects.sends.append(_publish(partition, session, packet_id, copy, dup=True))\n    send_waiting",
        "            effects.sends.append(_publish(partition, session, packet_id, copy, dup=False))\n    send_waiting",
    ),
    Mutant(
        "PUBREL not repeated to a resumed session",
        "core/broker/outgoing.py",
        "        if copy.state == RELEASED:\n            effects.sends.append(",
        "        if copy.state == RELEASED:\n            str(",
    ),
    Mutant(
        "segment deleted before its snapshot",
        "core/node/housekeeping.py",
        "            if index > self._groups[number].snapshot_index:\n                return\n",
        "            if index > self._groups[number].applied_index:\n                return\n",
    ),
    Mutant(
        "session expiry forgotten to be withdrawn",
        "core/broker/lifecycle.py",
        "    session.ends_ms = 0\n    partition.deadlines.withdraw(SESSION_EXPIRY, session.client_id)\n",
        "    session.ends_ms = 0\n",
    ),
    Mutant(
        "edge forgotten at a restart",
        "core/broker/lifecycle.py",
        "for session in partition.sessions.values() if session.conn_epoch and session.edge == edge]\n",
        "for session in partition.sessions.values() if session.conn_epoch and session.edge != edge]\n",
    ),
    Mutant(
        "Receive Maximum of the client exceeded by one",
        "core/broker/outgoing.py",
        "    return session.inflight.outstanding() < session.receive_maximum\n",
        "    return session.inflight.outstanding() <= session.receive_maximum\n",
    ),
    Mutant(
        "will published twice",
        "core/broker/wills.py",
        "    session.will = None\n    session.will_due_ms = 0\n",
        "    session.will_due_ms = 0\n",
    ),
)
