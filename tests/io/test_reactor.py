"""Goal: the reactor turns what sockets do into inputs, and outputs into what sockets do. Method: a node of a few lines on
real sockets, on both event loops, over each kind of transport."""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, CloseConnection, Ping, Request

from quantum.core.node.inputs import AdminRequest, Inputs
from quantum.core.node.outputs import AdminReply, Outputs
from quantum.io.certs import CertificateSet, make_certificates
from quantum.io.connections import Handshakes
from quantum.io.disk import open_disk
from quantum.io.listeners import Listener, parse_url
from quantum.io.reactor import Reactor
from quantum.io.tls import CertificateFiles, TlsContexts

TIMEOUT_S = 20.0
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class Echo:
    """Answers bytes with the same bytes. `quit` is answered and closed, `flood` with 64 MiB, `pause` with silence."""

    def __init__(self) -> None:
        self.turns: list[Inputs] = []
        self.deadlines: list[int] = []

    def turn(self, inputs: Inputs, out: Outputs) -> None:
        seen = Inputs(inputs.now_ms)
        seen.accepted, seen.received, seen.closed = inputs.accepted, inputs.received, inputs.closed
        seen.blocked, seen.unblocked, seen.admin = inputs.blocked, inputs.unblocked, inputs.admin
        self.turns.append(seen)
        answers: dict[int, bytes] = {}
        for conn_id, data in inputs.received:
            answers[conn_id] = answers.get(conn_id, b"") + data
            if b"quit" in data:
                out.closes.append(conn_id)
            if b"flood" in data:
                answers[conn_id] = bytes(1 << 26)
            if b"pause" in data:
                out.pauses.append(conn_id)
        out.writes.extend(answers.items())
        out.admin.extend(AdminReply(request.number, 200, {"path": request.path}) for request in inputs.admin)
        out.is_stopped = inputs.stopping
        if self.deadlines:
            out.deadline_ms = inputs.now_ms + self.deadlines.pop(0)


class World:
    """A reactor with one listener of each kind."""

    def __init__(self, reactor: Reactor, node: Echo, listeners: list[Listener], certificates: CertificateSet) -> None:
        self.reactor = reactor
        self.node = node
        self.ports = {one.url.scheme: int(one.address.rpartition(":")[2]) for one in listeners}
        self.certificates = certificates
        self.refused: list[str] = []

    async def connect(self, scheme: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = None
        if scheme in ("tls", "wss"):
            context = ssl.create_default_context(cafile=str(self.certificates.ca))
            context.load_cert_chain(self.certificates.client_cert, self.certificates.client_key)
        return await asyncio.open_connection(
            "127.0.0.1", self.ports[scheme], ssl=context, server_hostname="localhost" if context else None
        )

    async def wait_for(self, is_so: Callable[[Inputs], bool]) -> Inputs:
        """The first turn that is so."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for inputs in self.node.turns:
                    if is_so(inputs):
                        return inputs
                await asyncio.sleep(0)


Story = Callable[[World], Awaitable[None]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateSet:
    return make_certificates(tmp_path_factory.mktemp("certs"), client_name="pump-7")


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest, tmp_path: Path, certificates: CertificateSet) -> Callable[[Story], None]:
    """Plays a story in a fresh world."""

    async def live(story: Story) -> None:
        loop = asyncio.get_running_loop()
        node = Echo()
        events: list[object] = []
        reactor = Reactor(node, open_disk("inline", str(tmp_path), -1), loop, events.extend, lambda: None)
        refused: list[str] = []
        handshakes = Handshakes(
            loop, count_max=100, timeout_ms=300, on_failed=lambda listener, peer, text: refused.append(text)
        )
        paths = certificates
        contexts = TlsContexts(CertificateFiles(str(paths.server_cert), str(paths.server_key), str(paths.ca)))
        listeners = [Listener(parse_url(f"{scheme}://127.0.0.1:0")) for scheme in ("tcp", "tls", "ws", "wss")]
        for listener in listeners:
            await listener.open(reactor, handshakes, contexts)
        world = World(reactor, node, listeners, certificates)
        world.refused = refused
        reactor.start()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await story(world)
        finally:
            for listener in listeners:
                listener.close()
            reactor.close()
            await asyncio.sleep(0)
        assert 0 == handshakes.count

    def run(story: Story) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(live(story))

    return run


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_bytes_are_echoed_and_a_farewell_is_read_before_the_end(play: Callable[[Story], None], scheme: str) -> None:
    async def story(world: World) -> None:
        reader, writer = await world.connect(scheme)
        writer.write(b"hello")
        assert b"hello" == await reader.readexactly(5)
        writer.write(b"quit" + bytes(200_000))
        answer = await reader.read()
        assert answer.startswith(b"quit")
        writer.close()
        await world.wait_for(lambda inputs: bool(inputs.closed))
        assert 1 == sum(len(inputs.closed) for inputs in world.node.turns)
        (accepted,) = [one for inputs in world.node.turns for one in inputs.accepted]
        assert scheme == accepted.transport
        assert ("pump-7" if scheme == "tls" else "") == accepted.certificate_name
        assert accepted.peer.startswith("127.0.0.1:")

    play(story)


async def upgraded(world: World, scheme: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, WSConnection]:
    reader, writer = await world.connect(scheme)
    client = WSConnection(ConnectionType.CLIENT)
    writer.write(client.send(Request(host="localhost", target="/mqtt", subprotocols=["mqtt"])))
    client.receive_data(await reader.readuntil(b"\r\n\r\n"))
    list(client.events())
    return reader, writer, client


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_websocket_client_is_echoed(play: Callable[[Story], None], scheme: str) -> None:
    async def story(world: World) -> None:
        reader, writer, client = await upgraded(world, scheme)
        writer.write(client.send(BytesMessage(b"hello")))
        client.receive_data(await reader.readexactly(7))
        (message,) = client.events()
        assert isinstance(message, BytesMessage)
        assert b"hello" == bytes(message.data)
        writer.transport.abort()
        await world.wait_for(lambda inputs: bool(inputs.closed))

    play(story)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_what_is_sent_after_the_farewell_of_the_peer_goes_nowhere(play: Callable[[Story], None], scheme: str) -> None:
    """The client says goodbye and keeps its socket open; the node knows nothing yet and goes on sending."""

    async def story(world: World) -> None:
        _, writer, client = await upgraded(world, scheme)
        writer.write(client.send(BytesMessage(b"hello")) + client.send(CloseConnection(1000)))
        await world.wait_for(lambda inputs: bool(inputs.received))
        other_reader, other = await world.connect("tcp")
        other.write(b"still here")
        assert b"still here" == await other_reader.readexactly(10)
        other.transport.abort()
        writer.transport.abort()

    play(story)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_flood_of_frames_leaves_turns_to_others(play: Callable[[Story], None], scheme: str) -> None:
    async def story(world: World) -> None:
        _, writer, client = await upgraded(world, scheme)
        frame = client.send(BytesMessage(b"x"))
        writer.write(bytes(frame) * 40_000)
        before = len(world.node.turns)
        await world.wait_for(lambda _: 40_000 == received_bytes(world))
        assert 10 < len(world.node.turns) - before
        writer.transport.abort()

    play(story)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_frames_in_front_of_the_end_are_all_read(play: Callable[[Story], None], scheme: str) -> None:
    """What a layer left for later is worked through although an outer layer has seen its end behind it."""

    async def story(world: World) -> None:
        _, writer, client = await upgraded(world, scheme)
        writer.write(bytes(client.send(BytesMessage(b"x"))) * 1000)
        writer.close()
        await world.wait_for(lambda inputs: bool(inputs.closed))
        assert 1000 == received_bytes(world)

    play(story)


def received_bytes(world: World) -> int:
    return sum(len(data) for inputs in world.node.turns for _, data in inputs.received)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_node_that_reads_no_more_is_not_given_what_a_flood_left(play: Callable[[Story], None], scheme: str) -> None:
    """What came is worked through; the transport is read again when the node says so, and not before."""

    async def story(world: World) -> None:
        _, writer, client = await upgraded(world, scheme)
        writer.write(bytes(client.send(BytesMessage(b"pause"))) + bytes(client.send(BytesMessage(b"x"))) * 600)
        await world.wait_for(lambda _: 605 == received_bytes(world))
        writer.write(bytes(client.send(BytesMessage(b"later"))))
        for _ in range(50):
            await asyncio.sleep(0)
        assert 605 == received_bytes(world)
        (connection,) = world.reactor.connections.values()
        connection.resume_reading()
        await world.wait_for(lambda _: 610 == received_bytes(world))
        writer.transport.abort()

    play(story)


def test_peer_that_pings_and_reads_nothing_is_kept_few_answers(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        _, writer, client = await upgraded(world, "ws")
        writer.write(client.send(BytesMessage(b"flood")))
        await world.wait_for(lambda inputs: bool(inputs.blocked))
        (connection,) = world.reactor.connections.values()
        transport = connection._transport  # type: ignore[attr-defined]
        kept = transport.get_write_buffer_size()
        for _ in range(100):
            writer.write(bytes(client.send(Ping(bytes(125)))) * 100)
            await asyncio.sleep(0)
        writer.write(client.send(BytesMessage(b"end")))
        await world.wait_for(lambda inputs: any(b"end" in data for _, data in inputs.received))
        assert transport.get_write_buffer_size() <= kept + 100
        writer.transport.abort()

    play(story)


@pytest.mark.parametrize("scheme", ["tls", "ws", "wss"])
def test_silent_handshake_is_cut_and_the_node_never_hears_of_it(play: Callable[[Story], None], scheme: str) -> None:
    async def story(world: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.ports[scheme])
        assert b"" == await reader.read()
        writer.close()
        assert ["the handshake took longer than listeners.connect_timeout_ms"] == world.refused
        assert [] == [one for inputs in world.node.turns for one in inputs.accepted]

    play(story)


def test_what_arrives_in_one_pass_is_one_turn(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        writers = [(await world.connect("tcp"))[1] for _ in range(20)]
        await world.wait_for(lambda _: 20 == sum(len(inputs.accepted) for inputs in world.node.turns))
        before = len(world.node.turns)
        for writer in writers:
            os.write(
                writer.get_extra_info("socket").fileno(), b"x"
            )  # all are in the kernel before the loop looks again
        await world.wait_for(lambda _: 20 == sum(len(inputs.received) for inputs in world.node.turns[before:]))
        assert len(world.node.turns) - before <= 2
        for writer in writers:
            writer.transport.abort()

    play(story)


def test_reader_that_stops_blocks_and_one_that_reads_unblocks(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        reader, writer = await world.connect("tcp")
        writer.write(b"flood")
        blocked = await world.wait_for(lambda inputs: bool(inputs.blocked))
        assert [] == blocked.unblocked
        await reader.readexactly(1 << 26)
        await world.wait_for(lambda inputs: bool(inputs.unblocked))
        writer.transport.abort()

    play(story)


def test_change_that_came_back_within_one_pass_is_not_told(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        reactor = world.reactor
        for change, conn_id in [
            (reactor.on_blocked, 901),
            (reactor.on_unblocked, 902),
            (reactor.on_blocked, 903),
            (reactor.on_unblocked, 904),
            (reactor.on_unblocked, 901),
            (reactor.on_blocked, 902),
        ]:
            change(conn_id)
        seen = await world.wait_for(lambda inputs: bool(inputs.blocked))
        assert ([903], [904]) == (seen.blocked, seen.unblocked)

    play(story)


def test_many_connections_that_block_and_unblock_within_one_pass_cost_no_more_each(
    play: Callable[[Story], None],
) -> None:
    async def story(world: World) -> None:
        begin = time.process_time()
        for conn_id in range(1_000, 61_000):
            world.reactor.on_blocked(conn_id)
        for conn_id in reversed(range(1_000, 61_000)):
            world.reactor.on_unblocked(conn_id)
        assert time.process_time() - begin < 2  # with a search through a list it is half a minute
        world.reactor.on_unblocked(7)
        seen = await world.wait_for(lambda inputs: bool(inputs.unblocked))
        assert ([], [7]) == (seen.blocked, seen.unblocked)

    play(story)


def test_paused_connection_is_not_read(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        reader, writer = await world.connect("tcp")
        writer.write(b"pause")
        assert b"pause" == await reader.readexactly(5)
        writer.write(b"unread")
        _, other = await world.connect("tcp")
        other.write(b"after")  # it is read, so the loop has looked at both
        await world.wait_for(lambda inputs: any(b"after" == data for _, data in inputs.received))
        assert not any(b"unread" == data for inputs in world.node.turns for _, data in inputs.received)
        writer.transport.abort()
        other.transport.abort()

    play(story)


def test_deadline_wakes_the_node_no_sooner(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        world.node.deadlines = [40, 20, 0, 0]
        await world.wait_for(lambda _: len(world.node.turns) >= 5)
        at = [inputs.now_ms for inputs in world.node.turns]
        assert 40 <= at[1] - at[0]
        assert 20 <= at[2] - at[1]
        assert at[4] - at[2] <= 1000

    play(story)


def test_operator_is_answered_and_the_end_is_told(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        replies: list[AdminReply] = []
        world.reactor.ask("GET", "/readyz", {}, b"", replies.append)
        withdrawn = world.reactor.ask("GET", "/why", {}, b"", replies.append)
        world.reactor.withdraw(withdrawn)
        await world.wait_for(lambda inputs: 2 == len(inputs.admin))
        await asyncio.sleep(0)
        assert [{"path": "/readyz"}] == [reply.body for reply in replies]
        world.reactor.on_stop_wanted()
        await world.reactor.wait_ended()

    play(story)


def test_node_that_raises_ends_the_loop_with_its_error(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        def is_wrong(inputs: Inputs, out: Outputs) -> None:
            raise AssertionError("the node is wrong about itself")

        world.node.turn = is_wrong  # type: ignore[method-assign]
        world.reactor.schedule()
        with pytest.raises(AssertionError, match="wrong about itself"):
            await world.reactor.wait_ended()

    play(story)


def test_change_that_came_back_within_one_turn_is_not_told(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        reactor = world.reactor
        reactor.on_blocked(7)
        reactor.on_unblocked(7)
        assert ([], []) == (reactor.inputs.blocked, reactor.inputs.unblocked)
        reactor.on_unblocked(7)
        reactor.on_blocked(7)
        assert ([], []) == (reactor.inputs.blocked, reactor.inputs.unblocked)

    play(story)


def test_accepted_sockets_do_not_delay_small_packets() -> None:
    listener = Listener(parse_url("tcp://127.0.0.1:0"))
    host, _, port = listener.address.rpartition(":")
    with socket.create_connection((host, int(port))):
        listener._bound.setblocking(True)
        accepted, _ = listener._bound.accept()
        assert 0 != accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        accepted.close()
    listener.close()


def test_question_carries_what_was_asked(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        number = world.reactor.ask("POST", "/why", {"a": "b"}, b"body", lambda reply: None)
        inputs = await world.wait_for(lambda inputs: bool(inputs.admin))
        assert [AdminRequest(number, "POST", "/why", {"a": "b"}, b"body")] == inputs.admin

    play(story)
