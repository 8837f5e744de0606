"""Bugs of the broker, its edge, its node and its log to plant in a cluster: each one exact piece of the source.

Together with `raft_mutants` they are what the simulator is measured by. Source: FAULTS §3.2.
"""

from typing import Final

from quantum.sim.scenario import BEYOND, MQTT, STANDARD, STORAGE
from tests.sim.mutants import Mutant

SESSIONS: Final = (
    Mutant(
        "subscription granted less gets all",
        "core/broker/publishing.py",
        "            qos=min(message.qos, receiver.qos),  # [MQTT-3.8.4-8]\n",
        "            qos=message.qos,\n",
        MQTT,
    ),
    Mutant(
        "No Local forgotten",
        "core/broker/publishing.py",
        "        receiver = each if each.client_id != publisher else each.of(publisher)\n",
        "        receiver = each if each.client_id else each.of(publisher)\n",
        MQTT,
    ),
    Mutant(
        "RETAIN set for everybody",
        "core/broker/publishing.py",
        "            retain=message.retain and receiver.retain_as_published,  # [MQTT-3.3.1-12] [MQTT-3.3.1-13]\n",
        "            retain=message.retain,\n",
        MQTT,
    ),
    Mutant(
        "PUBLISH of a connection that was taken over obeyed",
        "core/broker/publishing.py",
        "    if session is None or session.conn_epoch != command.conn_epoch or command.conn_epoch == 0:\n"
        "        return _refuse(partition, STALE_EPOCH)\n",
        "    if session is None:\n        return _refuse(partition, STALE_EPOCH)\n",
        STANDARD,
    ),
    Mutant(
        "Packet Identifier kept after PUBREL",
        "core/broker/publishing.py",
        "    session.received.remove(command.packet_id)\n",
        "    session.received.add(command.packet_id)\n",
        MQTT,
    ),
    Mutant(
        "no PUBREL for PUBREC",
        "core/broker/outgoing.py",
        "            effects.sends.append(_pubrel(session, packet_id))  # for a repeated PUBREC too [MQTT-4.3.3-4]\n",
        "            str(_pubrel(session, packet_id))\n",
        MQTT,
    ),
    Mutant(
        "released exchanges resumed in another order",
        "core/broker/outgoing.py",
        "            effects.sends.append(_pubrel(session, released[next_released]))  # in PUBREC's order [MQTT-4.6.0-4]\n",
        "            effects.sends.append(_pubrel(session, released[-1 - next_released]))\n",
        MQTT,
    ),
    Mutant(
        "expired message sent",
        "core/broker/outgoing.py",
        "    return message.deadline_ms != 0 and message.deadline_ms <= stamp_ms\n",
        "    return message.deadline_ms != 0 and message.deadline_ms <= 0\n",
        MQTT,
    ),
    Mutant(
        "old connection left open by a take-over",
        "core/broker/lifecycle.py",
        "        effects.closes.append(\n            CloseConnection(",
        "        str(\n            CloseConnection(",
        STANDARD,
    ),
    Mutant(
        "session kept over a clean start",
        "core/broker/lifecycle.py",
        "    if command.clean_start or session.expiry_s == 0:\n",
        "    if session.expiry_s == 0:\n",
        MQTT,
    ),
    Mutant(
        "will of a connection that was taken over forgotten",
        "core/broker/lifecycle.py",
        "    if was_connected and session.will is not None and session.will.delay_s == 0:\n",
        "    if was_connected and session.will is not None and session.will.delay_s < 0:\n",
        MQTT,
    ),
    Mutant(
        "session never expires",
        "core/broker/lifecycle.py",
        "    if session.expiry_s != NEVER_S:\n",
        "    if session.expiry_s > NEVER_S:\n",
        MQTT,
    ),
    Mutant(
        "what a shared member leaves is lost",
        "core/broker/outgoing.py",
        "        if copy.shared_filter and copy.qos == 1:\n",
        "        if copy.shared_filter and copy.qos == 3:\n",
        MQTT,
    ),
    Mutant(
        "QoS 2 of an ended shared member given to another",
        "core/broker/outgoing.py",
        "        if copy.shared_filter and copy.qos == 1:\n",
        "        if copy.shared_filter:\n",
        MQTT,
    ),
    Mutant(
        "what a brief shared member leaves is lost",
        "core/edge/orphans.py",
        "        left = queue.left_by_groups()\n",
        "        left = queue.left_by_groups()[:0]\n",
        MQTT,
    ),
    Mutant(
        "QoS 2 of a brief shared member given to another",
        "core/edge/fanout.py",
        "        if qos == 1:\n            queue.remember(",
        "        if qos:\n            queue.remember(",
        MQTT,
    ),
    Mutant(
        "queue changed behind the back of a snapshot",
        "core/broker/outgoing.py",
        "    partition.before_change(session)\n    accounting = partition.accounting\n"
        "    accounting.held_bytes += copy.size\n",
        "    accounting = partition.accounting\n    accounting.held_bytes += copy.size\n",
        MQTT,
    ),
)

CLUSTER: Final = (
    Mutant(
        "B69 forwarded entry counted twice",
        "core/broker/edges.py",
        "        if record.incarnation != incarnation or record.forward_seq + 1 != forward_seq:\n",
        "        if record.incarnation != incarnation or record.forward_seq + 1 < forward_seq:\n",
        STANDARD,
    ),
    Mutant(
        "gap in an edge's entries accepted",
        "core/broker/edges.py",
        "        if record.incarnation != incarnation or record.forward_seq + 1 != forward_seq:\n",
        "        if record.incarnation != incarnation or record.forward_seq + 1 > forward_seq:\n",
        STANDARD,
        (
            (
                "core/node/router.py",
                "        if entry.incarnation == incarnation and entry.forward_seq == expected:\n",
                "        if entry.incarnation == incarnation and entry.forward_seq >= expected:\n",
            ),
        ),
    ),
    Mutant(
        "entry of an earlier incarnation counted",
        "core/broker/edges.py",
        "        if record.incarnation != incarnation or record.forward_seq + 1 != forward_seq:\n",
        "        if record.forward_seq + 1 != forward_seq:\n",
        STANDARD,
    ),
    Mutant(
        "lost forward never sent again",
        "core/node/router.py",
        "        if len(self.pending) > len(self._unsent) and self._clock.now_ms - self._progress_ms >= RESEND_MS:\n",
        "        if len(self.pending) > len(self._unsent) and self._clock.now_ms < self._progress_ms:\n",
        STANDARD,
    ),
    Mutant(
        "edge opened once only",
        "core/node/router.py",
        "            self._open_at_ms = self._clock.now_ms + OPEN_RETRY_MS\n",
        "            self._open_at_ms = self._clock.now_ms + 1_000 * OPEN_RETRY_MS\n",
        STANDARD,
    ),
    Mutant(
        "proposal of another term applied as one's own",
        "core/group/replica.py",
        "                same = kept[1] if kept is not None and kept[0] == entry.term else None\n",
        "                same = kept[1] if kept is not None else None\n",
        STANDARD,
    ),
    Mutant(
        "repeated QoS 0 message of another node delivered again",
        "core/edge/relay.py",
        "        if body.number <= numbers.get(nonce, 0):\n",
        "        if body.number < 0:\n",
        STANDARD,
    ),
    Mutant(
        "QoS 0 message not relayed",
        "core/edge/relay.py",
        "            self._bodies.append((EVERYBODY, self._encode(self._for_all)))\n",
        "            self._encode(self._for_all)\n",
        STANDARD,
    ),
    Mutant(
        "late frame of an old process shuts the new one out",
        "core/node/peers.py",
        "            if peer.nonce and self._clock.now_ms - peer.heard_ms < SILENCE_MS:\n",
        "            if frame.nonce < peer.nonce:\n",
        STANDARD,
    ),
    Mutant(
        "damaged frame believed",
        "core/node/peer_frames.py",
        "        if google_crc32c.extend(self._seed, data[_COVERED_AT:]) != crc:\n",
        "        if google_crc32c.extend(self._seed, data[_COVERED_AT:]) < 0:\n",
        STANDARD,
    ),
    Mutant(
        "connections kept when their edge was closed",
        "core/node/node.py",
        "        self._edge.on_edge_closed(EDGE_CLOSED)\n",
        "        str(EDGE_CLOSED)\n",
        STANDARD,
    ),
    Mutant(
        "closed at once by a new leader",
        "core/node/stewardship.py",
        "            due_ms = max(self._peers.heard_ms(edge), self._since_ms) + self._timeout_ms\n",
        "            due_ms = self._peers.heard_ms(edge) + 1\n",
        STANDARD,
    ),
    Mutant(
        "not ready, and no reason given",
        "core/admin/admin.py",
        '            "reasons": status.reasons,\n',
        '            "reasons": status.reasons[1:],\n',
        BEYOND,
    ),
)

LOG: Final = (
    Mutant(
        "B63 truncation not persisted",
        "core/group/journal.py",
        "        writer.add(encode_truncate(Truncate(group, record.index)), group, 0, sequence)\n",
        '        writer.add(b"", group, 0, sequence)\n',
        STANDARD,
        (
            (
                "core/wal/replay.py",
                "        if self._breaking or index != self._last + 1:\n            self._join(index, entry.term)\n",
                "        if self._breaking or index > self._last + 1:\n            self._join(index, entry.term)\n",
            ),
            (
                "core/wal/replay.py",
                "            self._entries[index] = entry\n        self._last = index\n\n    def _join",
                "            self._entries[index] = entry\n        self._last = max(self._last, index)\n\n    def _join",
            ),
        ),
    ),
    Mutant(
        "rotted tail cut as a torn one",
        "core/wal/recovery.py",
        "            is_torn = not self._is_short and is_unfinished(self._salt, self._number, self._data, at)\n",
        "            is_torn = True\n",
        STORAGE,
    ),
    Mutant(
        "damage passed over in silence",
        "core/wal/recovery.py",
        "        self._items.append(damage)\n        self.damages.append(damage)\n",
        "        self.damages.append(damage)\n",
        STORAGE,
    ),
    Mutant(
        "damaged replica sure of its tail",
        "core/wal/replay.py",
        " or self._has_gap or len(self._unsettled) > 0\n",
        " and self._has_gap and len(self._unsettled) > 9\n",
        STORAGE,
    ),
    Mutant(
        "body of a batch not checked",
        "core/wal/batch.py",
        "    if crc != head.body_crc or end > len(data):\n",
        "    if end > len(data):\n",
        STORAGE,
    ),
    Mutant(
        "place of a batch not checked",
        "core/wal/batch.py",
        "    if _CRC.unpack_from(data, at + 4)[0] != head_crc:\n",
        "    if head_crc < 0:\n",
        STORAGE,
    ),
    Mutant(
        "term and vote written for the last segment only",
        "core/node/housekeeping.py",
        "            self._writer.add_hard_state(encode_hard_state(state), NODE_MARKS - number, self._mark_sequence)\n"
        "            self._marks_waiting[NODE_MARKS - number] = True\n",
        "            str(state)\n",
        STANDARD,
    ),
    Mutant(
        "failed sync ignored",
        "core/node/storage.py",
        "            if item.error:\n",
        "            if item.error and not self._append_number:\n",
        STANDARD,
    ),
)

CLUSTER_MUTANTS: Final = SESSIONS + CLUSTER + LOG

# What the simulator does not find, and why. The table counts it as missed.
SURVIVORS: Final[dict[str, str]] = {
    "entry of an earlier incarnation counted": (
        "the leader asks the same before it appends, so such an entry is in no log; without both guards an old frame "
        "would still have to come with the very number that is due"
    ),
}
