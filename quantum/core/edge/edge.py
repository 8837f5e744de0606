"""The edge: between sockets and partitions. Who is this, may they, where does it go, who waits for it.

The edge owns the connections and orders their lives; the rules live in `admission`, `inbound`, `answers` and `fanout`.
It takes bytes and applied entries in, and gives bytes and one batch of commands a turn out. Every node has an edge, and
every edge is shown every applied entry: what concerns connections elsewhere is passed over.
"""

from typing import Final, final

from quantum.core.broker.commands import GiveAgain
from quantum.core.broker.effects import Effects
from quantum.core.causes import (
    BAD_USER_NAME_OR_PASSWORD,
    CLIENT_DISCONNECTED,
    CLIENT_PACKET_TOO_LARGE,
    CONNECT_TIMEOUT,
    CONNECTION_LOST,
    CONNECTIONS_MAX,
    EDGE_CLOSED,
    KEEP_ALIVE_TIMEOUT,
    SESSION_ENDED,
    SESSION_TAKEN_OVER,
    SHUTTING_DOWN,
    SLOW_READER,
    USE_ANOTHER_SERVER,
    Cause,
)
from quantum.core.edge.admission import Admission, refuse
from quantum.core.edge.answers import Answers
from quantum.core.edge.authentication import Authentication
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.connections import AUTHENTICATING, CLOSED, CONNECTING, OPEN, OPENING, EdgeConnection
from quantum.core.edge.fanout import PUMP_BYTES, Fanout
from quantum.core.edge.farewells import cause_of, farewell
from quantum.core.edge.inbound import Inbound
from quantum.core.edge.keepalive import Deadlines
from quantum.core.edge.pending import OPEN as OPEN_SESSION
from quantum.core.edge.pending import Batch, Waiter
from quantum.core.edge.reading import BY_BACKLOG, BY_KEPT, Reading
from quantum.core.edge.route_reader import RouteReader
from quantum.core.edge.sys_topics import SysTopics
from quantum.core.edge.users import UserFile
from quantum.core.events import Event
from quantum.core.flow import CauseLedger
from quantum.core.mqtt.connection import Inbound as Packet
from quantum.core.mqtt.connection import PublishRun, ServerConnection
from quantum.core.mqtt.errors import MqttError, ProtocolError
from quantum.core.mqtt.packets import (
    Auth,
    Connect,
    Disconnect,
    Pingreq,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Unsubscribe,
)
from quantum.core.mqtt.properties import REASON_STRING, SESSION_EXPIRY_INTERVAL
from quantum.core.prng import Prng

PINGRESP_BYTES: Final = b"\xd0\x00"
CONNECTIONS_MARGIN: Final = 128  # connections above the maximum that are still told why they are refused


@final
class Edge:
    """All connections of this node, for one partition."""

    __slots__ = (
        "_admission",
        "_answers",
        "_authentication",
        "_config",
        "_deadlines",
        "_inbound",
        "_is_abandoned",
        "_is_open",
        "_is_opening",
        "_now_ms",
        "_sys_topics",
        "causes",
        "closes",
        "connections",
        "fanout",
        "reading",
        "writes",
    )

    def __init__(self, config: EdgeConfig, routes: RouteReader, prng: Prng) -> None:
        self._config = config
        self.causes = CauseLedger()
        self.fanout = Fanout(config, routes, self.causes)
        self.connections: dict[int, EdgeConnection] = {}
        self._sys_topics: SysTopics | None = None
        if config.sys_interval_s:
            self._sys_topics = SysTopics(config, self.fanout, routes, self.connections)
        self.reading = Reading()
        self._inbound = Inbound(config, self.fanout, self.reading, self.causes, self._sys_topics)
        self._admission = Admission(config, prng)
        self._answers = Answers(self._admission, self.fanout, self._inbound, self.causes)
        self._authentication = Authentication(config, prng.stream("nonces"))
        self._deadlines = Deadlines()
        self._is_abandoned = False  # a connection went while its OpenSession may still be in the batch
        self._is_open = False  # the log knows this incarnation of the edge
        self._is_opening = False  # the next effects are those of the entry that opened it
        self._now_ms = 0
        self.writes: list[tuple[int, bytes]] = []
        self.closes: list[int] = []

    # -- inputs ---------------------------------------------------------------------------------------------------

    def on_clock(self, now_ms: int, wall_ms: int) -> None:
        """The clocks as of this turn; connections that were silent for too long are closed."""
        self._now_ms = now_ms
        self.causes.wall_ms = wall_ms
        if wall_ms > self.fanout.clock_ms:
            self.fanout.clock_ms = wall_ms
        for conn_id in self._deadlines.take_due(now_ms):
            connection = self.connections.get(conn_id)
            if connection is not None and connection.state != CLOSED:
                self._on_silence(connection)
        if self._sys_topics is not None:
            self._sys_topics.on_clock(now_ms)

    def on_accepted(self, conn_id: int, listener: str, peer: str, identity: str) -> None:
        """A transport is open."""
        config = self._config
        wire = ServerConnection(config.packet_bytes_max, config.topic_alias_maximum)
        connection = EdgeConnection(conn_id, wire, listener, peer, identity)
        connection.last_ms = self._now_ms
        self.connections[conn_id] = connection
        self._deadlines.set(self._now_ms + config.connect_timeout_ms, conn_id)
        if len(self.connections) > config.connections_max + CONNECTIONS_MARGIN:
            self._close(connection, CONNECTIONS_MAX, f"{config.connections_max} connections")

    def on_received(self, conn_id: int, data: bytes) -> None:
        """Bytes of a connection."""
        connection = self.connections.get(conn_id)
        if connection is None or connection.state == CLOSED:
            return
        connection.last_ms = self._now_ms
        if connection.is_reading_held:
            self.reading.keep(connection, data)
            return
        self._read(connection, data)

    def read_on(self) -> None:
        """One connection whose wire stopped before the end of what it has is read on: once a turn."""
        connection = self.reading.take_next()
        if connection is not None:
            self._read_held(connection)

    def on_closed(self, conn_id: int, reason: str) -> None:
        """The transport is gone; the driver reports it once for each connection."""
        connection = self.connections.pop(conn_id, None)
        if connection is None:
            return
        connection.is_gone = True
        self._deadlines.withdraw(conn_id)
        self._authentication.forget(connection)
        if connection.state != CLOSED:
            if connection.state != CONNECTING:
                self.causes.note(CONNECTION_LOST, connection.client_id, reason)
            self._leave(connection, CONNECTION_LOST, -1)

    def on_blocked(self, conn_id: int) -> None:
        """The transport holds enough bytes that the client has not taken."""
        connection = self.connections.get(conn_id)
        if connection is not None:
            connection.is_blocked = True

    def on_unblocked(self, conn_id: int) -> None:
        """The client reads again. What was kept for one that is closed meanwhile may not follow its end."""
        connection = self.connections.get(conn_id)
        if connection is not None and connection.state != CLOSED:
            connection.is_blocked = False
            self.fanout.mark(connection)

    def on_backlog(self, conn_id: int, *, waits: bool) -> None:
        """The node keeps bytes of the connection for a later turn, or has none left."""
        connection = self.connections.get(conn_id)
        if connection is not None and waits:
            self.reading.pause(connection, BY_BACKLOG)
        elif connection is not None:
            self.reading.resume(connection, BY_BACKLOG)

    def on_users(self, file: UserFile) -> None:
        """The users file was read again. Connections that stand are not touched."""
        assert self._config.users is not None
        self._config.users.replace(file)

    def on_peers(self, live_count: int) -> None:
        """How many other nodes live: what is published at QoS 0 is for their connections too."""
        self.fanout.relay.has_peers = live_count > 0

    def on_ephemeral(self, sender: int, nonce: int, body: bytes) -> None:
        """QoS 0 messages from a process of another node, for the connections of this one."""
        fanout = self.fanout
        for relayed in fanout.relay.on_body(sender, nonce, body, fanout.clock_ms):
            fanout.deliver_relayed(relayed)

    def on_edge_opened(self) -> None:
        """The log opened this edge: from here on its effects speak of connections of this process.

        Told before `on_applied` is given the effects of the very entry.
        """
        assert not self._is_open
        self._is_open = True
        self._is_opening = True

    def on_edge_closed(self, cause: Cause) -> None:
        """No connection may be served any more: the log ended this incarnation and every session's connection with it,
        or its effects were missed, because a snapshot took the place of entries. The node then opens the edge anew."""
        self._is_open = False
        self._inbound.batch = Batch()
        for connection in list(self.connections.values()):
            if connection.state in (OPENING, OPEN):
                self._close_ended(connection, cause)
        self._inbound.slices.on_lost()
        self.fanout.orphans.on_edge_closed()

    def on_applied(self, batch: Batch | None, effects: Effects) -> None:
        """An entry is committed, durable and applied here; `batch` is what this edge had proposed in it."""
        fanout = self.fanout
        if effects.stamp_ms > fanout.clock_ms:
            fanout.clock_ms = effects.stamp_ms
        fanout.relay.on_applied(effects)
        if not self._is_open:
            return  # what is replayed and caught up with concerned connections of an earlier process
        edge = self._config.edge
        if effects.edges_closed and not self._is_opening and edge in [closed for closed, _ in effects.edges_closed]:
            self.on_edge_closed(EDGE_CLOSED)
            return
        if self._is_opening:
            self._is_opening = False
            fanout.relay.fence()  # its replica has applied more than it saw
        for close in effects.closes:
            if close.edge == edge:
                connection = self.connections.get(close.conn_id)
                if connection is not None and connection.state != CLOSED:
                    fanout.orphans.on_left(close.conn_epoch)
                    self._close_ended(connection, close.cause)
        if batch is not None:
            self._answers.answer_batch(batch, effects)
            fanout.orphans.on_applied(batch)
        for message, route in effects.deliveries:
            fanout.deliver(message, route)
        for send in effects.sends:
            if send.edge == edge:
                connection = self.connections.get(send.conn_id)
                if connection is not None and connection.state == OPEN and connection.conn_epoch == send.conn_epoch:
                    self._answers.send(connection, send)
        for relayed in fanout.relay.take_held():
            fanout.deliver_relayed(relayed)
        self._finish_answers()

    def _finish_answers(self) -> None:
        answers = self._answers
        for connection, cause in answers.closing:
            if connection.state == OPEN:
                self._close(connection, cause, "a PUBLISH for which 3.x has no refusal")
            elif connection.state == OPENING:
                self._leave(connection, cause, -1)
                self._close_transport(connection)
        answers.closing = []
        reading = answers.reading
        answers.reading = []
        for connection in reading:
            if connection.keep_alive_ms:
                self._deadlines.set(self._now_ms + connection.keep_alive_ms, connection.conn_id)
        reading += answers.reading_on
        answers.reading_on = []
        for connection in reading:
            self._read_held(connection)

    def on_stopping(self, cause: Cause) -> None:
        """Say goodbye to everybody; sessions that last stay as they are. Who stops because of its own wish says where to
        go instead, if it knows. 4.11"""
        if cause is SHUTTING_DOWN and self._config.server_reference:
            cause = USE_ANOTHER_SERVER
        for connection in list(self.connections.values()):
            if connection.state != CLOSED:
                self._close(connection, cause, cause.text)

    def on_failed(self, cause: Cause) -> None:
        """Nothing may be acknowledged any more: every connection is closed, and what waits to be sent is not sent."""
        for connection in list(self.connections.values()):
            connection.out.clear()
            if connection.state != CLOSED:
                self._close(connection, cause, cause.text)
        self._inbound.batch = Batch()
        self._is_open = False

    # -- outputs --------------------------------------------------------------------------------------------------

    def take_batch(self) -> Batch | None:
        """The commands of this turn; None when there are none."""
        self._inbound.feed_slices()
        batch = self._inbound.batch
        if self.fanout.backlogs:
            for command in self.fanout.take_backlogs():
                batch.add(command, None)
        if self._is_abandoned:
            self._is_abandoned = False
            batch.drop_abandoned()
        self.fanout.orphans.feed(batch)
        if not batch.commands and not batch.refused:
            return None
        self._inbound.batch = Batch()
        return batch

    def take_last(self) -> list[GiveAgain]:
        """What goes with the entry that closes this edge; anything else that was still to be said follows from that."""
        self._inbound.batch = Batch()
        return self.fanout.orphans.take_last()

    def take_ephemeral(self) -> list[tuple[int, bytes]]:
        """(edge, or 0 for every other node that lives; what its edge is told with `on_ephemeral`)."""
        return self.fanout.relay.take_bodies()

    def take_events(self) -> list[Event]:
        """What operators are told of this turn."""
        events = self.causes.events
        self.causes.events = []
        return events

    def flush(self) -> bool:
        """Turn what waits into writes; True when some connection wants another turn at once."""
        is_checking = self._authentication.has_waiting
        if is_checking:
            self._check_passwords()
        fanout = self.fanout
        dirty = fanout.dirty
        fanout.dirty = []
        writes = self.writes
        again: list[EdgeConnection] = []
        for connection in dirty:
            connection.is_dirty = False
            queue = connection.queue
            has_waiting = connection.held_sends or (queue is not None and queue.waiting)
            if has_waiting and self._answers.send_waiting(connection):
                again.append(connection)
            out = connection.out
            if not out:
                continue
            if connection.is_blocked and connection.state != CLOSED:
                self._hold(connection)
                continue
            if not connection.is_gone:
                writes.append((connection.conn_id, b"".join(out) if len(out) > 1 else out[0]))
            out.clear()
        for connection in again:
            fanout.mark(connection)
        is_busy = is_checking or bool(again) or self._inbound.slices.is_due() or self.reading.is_due()
        return is_busy or (self._is_open and fanout.orphans.is_due())

    def next_deadline_ms(self) -> int:
        """When a connection must be looked at, 0 for never."""
        next_ms = self._deadlines.next_ms()
        if self._sys_topics is not None and not 0 < next_ms < self._sys_topics.next_ms():
            next_ms = self._sys_topics.next_ms()
        return next_ms

    # -- private --------------------------------------------------------------------------------------------------

    def _read(self, connection: EdgeConnection, data: bytes) -> None:
        wire = connection.wire
        inbound = self._inbound
        try:
            for packet in wire.receive(data):
                kind = packet.__class__
                if connection.state == OPEN:
                    if kind is PublishRun:
                        assert isinstance(packet, PublishRun)
                        inbound.on_publish_run(connection, packet)
                    elif kind is int:
                        assert isinstance(packet, int)
                        inbound.on_ack_word(connection, packet)
                    elif kind is Publish:
                        assert isinstance(packet, Publish)
                        inbound.on_publish(connection, packet)
                    else:
                        self._on_packet(connection, packet)
                else:
                    self._on_early_packet(connection, packet)
                if connection.state == CLOSED:
                    return
        except MqttError as error:
            self._on_broken(connection, error)
            return
        if wire.failure is not None:
            self._on_broken(connection, wire.failure)
        elif wire.is_stopped:
            self.reading.on_stopped(connection)

    def _read_held(self, connection: EdgeConnection) -> None:
        """What held the connection is over: read what was kept of it, and resume it when that is all read."""
        connection.is_reading_held = False
        if connection.state in (AUTHENTICATING, OPEN):
            self._read(connection, b"")
        if not connection.is_reading_held:
            self.reading.resume(connection, BY_KEPT)

    def _on_packet(self, connection: EdgeConnection, packet: Packet) -> None:
        """The rarer packets of an open connection."""
        inbound = self._inbound
        if isinstance(packet, Pingreq):
            connection.out.append(PINGRESP_BYTES)  # [MQTT-3.12.4-1]
            self.fanout.mark(connection)
        elif isinstance(packet, Subscribe):
            inbound.on_subscribe(connection, packet)
        elif isinstance(packet, Unsubscribe):
            inbound.on_unsubscribe(connection, packet)
        elif isinstance(packet, Disconnect):
            self._on_disconnect(connection, packet)
        elif isinstance(packet, Auth):
            reply = self._authentication.on_reauthenticate(connection, packet)
            connection.wire.send(reply)
            self.fanout.mark(connection)
        else:
            assert isinstance(packet, (Puback, Pubrec, Pubrel, Pubcomp))
            inbound.on_ack(connection, packet)

    def _on_early_packet(self, connection: EdgeConnection, packet: Packet) -> None:
        """CONNECT, or AUTH while authenticating; the wire let nothing else through before CONNECT."""
        if isinstance(packet, Connect):
            connection.client_id = packet.client_id
            if len(self.connections) > self._config.connections_max:
                full = USE_ANOTHER_SERVER if self._config.server_reference else CONNECTIONS_MAX
                self._refuse(connection, full, f"{self._config.connections_max} connections")
                return
            cause = self._admission.refusal(connection, packet)
            if cause is not None:
                self._refuse(connection, cause, cause.text)
                return
            connection.connect = packet
            authentication = self._authentication
            if authentication.is_needed(packet):
                connection.state = AUTHENTICATING
                self._authenticate(connection, authentication.on_connect(connection, packet))
            elif authentication.is_password_needed(packet) and not authentication.on_password(connection, packet):
                connection.state = AUTHENTICATING
                connection.is_reading_held = True
            else:
                self._open(connection, packet)
        elif connection.state == AUTHENTICATING and isinstance(packet, Auth):
            self._authenticate(connection, self._authentication.on_auth(connection, packet))
        elif connection.state == AUTHENTICATING and isinstance(packet, Disconnect):
            self._leave(connection, CLIENT_DISCONNECTED, -1)
            self._close_transport(connection)
        else:
            raise ProtocolError("packet other than AUTH during authentication", "MQTT-3.1.2-30")

    def _authenticate(self, connection: EdgeConnection, answer: Auth | Cause | None) -> None:
        if isinstance(answer, Auth) and connection.wire.may_send(answer):
            connection.wire.send(answer)
            self.fanout.mark(connection)
        elif isinstance(answer, Auth):
            self._refuse(connection, CLIENT_PACKET_TOO_LARGE, "AUTH is larger than the client's Maximum Packet Size")
        elif answer is not None:
            self._refuse(connection, answer, answer.text)
        else:
            assert connection.connect is not None
            self._open(connection, connection.connect)

    def _check_passwords(self) -> None:
        for connection, packet, is_right in self._authentication.check_passwords():
            if is_right:
                self._open(connection, packet)
            else:
                cause = BAD_USER_NAME_OR_PASSWORD
                self._refuse(connection, cause, cause.text)

    def _open(self, connection: EdgeConnection, packet: Connect) -> None:
        command = self._admission.open_command(connection, packet)
        if not connection.wire.may_send(self._admission.accept(connection, packet, False)):
            self._refuse(connection, CLIENT_PACKET_TOO_LARGE, "CONNACK is larger than the client's Maximum Packet Size")
            return
        connection.state = OPENING
        connection.is_reading_held = True
        self._inbound.batch.add(command, Waiter(connection, OPEN_SESSION, 0))

    def _on_disconnect(self, connection: EdgeConnection, packet: Disconnect) -> None:
        """3.14.4: the will goes with 0x00 only; the expiry may change unless it was 0. [MQTT-3.14.4-3]"""
        expiry_s = -1
        value = packet.properties.get(SESSION_EXPIRY_INTERVAL)
        if isinstance(value, int):
            if value and not connection.session_expiry_s:
                raise ProtocolError("Session Expiry Interval on DISCONNECT, 0 on CONNECT", "MQTT-3.14.2.2.2")
            expiry_s = min(value, self._config.session_expiry_s_max)
        connection.will_on_close = packet.reason_code != 0
        self._leave(connection, CLIENT_DISCONNECTED, expiry_s)
        self._close_transport(connection)

    def _on_silence(self, connection: EdgeConnection) -> None:
        if connection.state != OPEN:
            if connection.state != OPENING:  # Counted from the beginning: bytes that trickle in put nothing off.
                self._close(connection, CONNECT_TIMEOUT, f"not done within {self._config.connect_timeout_ms} ms")
            return
        if not connection.keep_alive_ms:
            return
        if connection.paused_by:
            connection.last_ms = self._now_ms  # Nothing can be heard of whoever is not read.
        due_ms = connection.last_ms + connection.keep_alive_ms
        if due_ms > self._now_ms:
            self._deadlines.set(due_ms, connection.conn_id)
        else:
            self._close(connection, KEEP_ALIVE_TIMEOUT, f"silent for {connection.keep_alive_ms} ms")

    def _on_broken(self, connection: EdgeConnection, error: MqttError) -> None:
        """The peer broke the protocol: answer as its version has it, and close. [MQTT-4.13.1-1]"""
        cause = cause_of(error.reason_code)
        self.causes.note(cause, connection.client_id, str(error))
        connection.end_cause = cause
        wire = connection.wire
        if connection.state in (CONNECTING, AUTHENTICATING):
            wire.refuse_connect(error)
        elif wire.is_v5 and connection.state == OPEN:
            wire.send(Disconnect(error.reason_code, {REASON_STRING: f"{cause.id}: {error}"}))
        self.fanout.mark(connection)
        self._leave(connection, cause, -1)
        self._close_transport(connection)

    def _refuse(self, connection: EdgeConnection, cause: Cause, detail: str) -> None:
        """Answer CONNECT with the cause, and close."""
        self.causes.note(cause, connection.client_id, detail)
        refuse(connection, cause, detail, self._config.server_reference)
        self.fanout.mark(connection)
        self._leave(connection, cause, -1)
        self._close_transport(connection)

    def _close(self, connection: EdgeConnection, cause: Cause, detail: str) -> None:
        """The server ends the connection; v5.0 is told why. [MQTT-3.14.0-1]"""
        self.causes.note(cause, connection.client_id, detail)
        self._say_farewell(connection, cause, detail)
        self._leave(connection, cause, -1)
        self._close_transport(connection)

    def _close_ended(self, connection: EdgeConnection, cause: Cause) -> None:
        """The log gave the session to another connection, or ended this one: nothing is owed to the log. [MQTT-3.1.4-3]"""
        self.causes.note(cause, connection.client_id, connection.peer)
        self._say_farewell(connection, cause, cause.text)
        connection.will_on_close = False
        connection.state = CLOSED
        connection.end_cause = cause
        self._forget(connection)
        self._close_transport(connection)

    def _say_farewell(self, connection: EdgeConnection, cause: Cause, detail: str) -> None:
        if connection.state != OPEN or not connection.wire.is_v5:
            return
        connection.wire.send(farewell(cause, detail, self._config.server_reference))
        self.fanout.mark(connection)

    def _leave(self, connection: EdgeConnection, cause: Cause, expiry_s: int) -> None:
        """The connection's part in its session ends here."""
        was_open = connection.state == OPEN
        if connection.state == OPENING:
            self._is_abandoned = True
        connection.state = CLOSED
        connection.end_cause = cause
        if was_open:
            self._answers.end_session(connection, expiry_s)
        self._forget(connection)

    def _forget(self, connection: EdgeConnection) -> None:
        self.fanout.close(connection)
        self.fanout.abandon(connection, SESSION_ENDED)
        connection.held_sends = None
        connection.exchange = None

    def _close_transport(self, connection: EdgeConnection) -> None:
        if not connection.is_gone:
            self.closes.append(connection.conn_id)

    def _hold(self, connection: EdgeConnection) -> None:
        """Keep bytes for a blocked transport, up to a limit: past it the client does not read at all."""
        data = b"".join(connection.out)
        connection.out.clear()
        connection.out.append(data)
        if len(data) > self._config.out_bytes_max + PUMP_BYTES:
            connection.out.clear()
            self._close(connection, SLOW_READER, f"{len(data)} bytes wait")


assert SESSION_TAKEN_OVER.reason_code == 0x8E
