"""Goal: nothing but MqttError leaves the codec, whatever arrives, and what decodes encodes to itself. Method: the golden
vectors, mutated, spliced and cut by a seed, fed to the codec and to both sides of a connection in all versions.

    python -m tests.core.mqtt.fuzz --count 10000000 --jobs 2

A case is one stream of bytes in one version. The same seed and count give the same cases.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random

from quantum.core.mqtt.client import ClientConnection, ClientSession
from quantum.core.mqtt.connection import ServerConnection
from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.errors import MqttError
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.packets import V5, V31, V311, Connack, Connect, Publish
from quantum.core.mqtt.wire import encode_varint
from tests.core.mqtt.rows import ROWS

CHUNK_CASES = 10_000
PACKET_BYTES_MAX = 4096
VERSIONS = (V31, V311, V5)
VECTORS = {version: [row.data for row in ROWS if row.version == version] for version in VERSIONS}
# Bytes that mean something: lengths, identifiers of properties, reason codes, edges of UTF-8.
TELLING = bytes([0, 1, 2, 3, 4, 8, 9, 11, 0x11, 0x16, 0x21, 0x22, 0x23, 0x26, 0x27, 0x7F, 0x80, 0x87, 0xC0, 0xED, 0xFF])


def mutate(random: Random, body: bytes) -> bytes:
    """`body` with one to three changes."""
    for _ in range(1 + (random.random() < 0.5) + (random.random() < 0.2)):
        draw = random.random()
        at = int(random.random() * (len(body) + 1))
        if draw < 0.55:
            body = body[:at] + TELLING[int(random.random() * len(TELLING)) :][:1] + body[at + 1 :]
        elif draw < 0.75:
            body = body[:at] + random.randbytes(1) + body[at + 1 :]
        elif draw < 0.85:
            body = body[:at] + body[at + 1 + int(random.random() * 4) :]
        elif draw < 0.95:
            body = body[:at] + random.randbytes(1 + int(random.random() * 4)) + body[at:]
        else:
            body = body[:at] + body[at // 2 :]
    return body


def make_case(random: Random, version: int) -> bytes:
    """A stream that is nearly right."""
    vectors = VECTORS[version]
    data = vectors[int(random.random() * len(vectors))]
    draw = random.random()
    if draw < 0.70:  # a body that is broken in a frame that is right, which gets deepest
        body = mutate(random, data[2:])
        first = data[0] if draw < 0.6 else data[0] ^ 1 << int(random.random() * 8)
        return bytes((first,)) + encode_varint(len(body)) + body
    if draw < 0.85:
        return mutate(random, data)
    if draw < 0.95:
        return data + mutate(random, vectors[int(random.random() * len(vectors))])
    return random.randbytes(int(random.random() * 40))


def codec_case(version: int, data: bytes) -> str:
    """Framer and decoder; a packet that comes out is encoded and decoded again."""
    try:
        frames = Framer(PACKET_BYTES_MAX).feed(data)
        for first, body in frames:
            packet = decode_packet(version, first, body)
            again_version = packet.protocol_version if isinstance(packet, Connect) else version
            ((first, body),) = Framer(PACKET_BYTES_LIMIT).feed(encode_packet(again_version, packet))
            again = decode_packet(version, first, body)
            assert packet == again, f"{packet} came back as {again}"
    except MqttError as error:
        return error.statement
    return "a packet" if frames else "incomplete"


CONNACKS = {version: encode_packet(version, Connack(False, 0)) for version in VERSIONS}
CONNECTS = {version: encode_packet(version, Connect(version, "c", True, 60)) for version in VERSIONS}


def client_case(version: int, data: bytes) -> str:
    """A client that published and waits."""
    client = ClientConnection(version, ClientSession())
    client.connect("c", clean_start=True, keep_alive_s=60)
    client.receive(CONNACKS[version])
    client.publish("a", b"1", 1)
    client.publish("a", b"2", 2)
    for packet in client.receive(data):
        if isinstance(packet, Publish) and packet.qos and packet.packet_id in client.unacknowledged:
            client.ack(packet.packet_id)
    client.take_bytes()
    return client.failure.statement if client.failure is not None else "no failure"


def server_case(version: int, data: bytes) -> str:
    """A server's connection, open or waiting for its CONNECT, and the bytes in two pieces."""
    server = ServerConnection(PACKET_BYTES_MAX, 10)
    if data[:1] != b"\x10":
        server.receive(CONNECTS[version])
    half = len(data) // 2
    server.receive(data[:half])
    server.receive(data[half:])
    server.receive(b"")
    return server.failure.statement if server.failure is not None else "no failure"


TARGETS: dict[str, Callable[[int, bytes], str]] = {
    "codec": codec_case,
    "client": client_case,
    "server": server_case,
}


def run_chunk(job: tuple[int, int, int, tuple[str, ...]]) -> tuple[int, Counter[str], str]:
    """(cases, outcomes, the first failure or "") of one chunk."""
    seed, chunk, count, names = job
    random = Random(f"{seed}/{chunk}")
    outcomes: Counter[str] = Counter()
    targets = [(name, TARGETS[name]) for name in names]
    for number in range(count):
        version = VERSIONS[number % 3]
        data = make_case(random, version)
        for name, target in targets:
            try:
                outcomes[target(version, data)] += 1
            except Exception as error:
                return (
                    number,
                    outcomes,
                    f"{name}, version {version}, bytes {data.hex()}: {type(error).__name__}: {error}",
                )
    return count, outcomes, ""


def main() -> int:
    """The command; 1 when something but MqttError came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--targets", default="codec", help="any of codec,client,server")
    options = parser.parse_args()
    names = tuple(options.targets.split(","))
    chunks = [
        (options.seed, number, min(CHUNK_CASES, options.count - number * CHUNK_CASES), names)
        for number in range(-(-options.count // CHUNK_CASES))
    ]
    begin = last = time.monotonic()
    done = 0
    outcomes: Counter[str] = Counter()
    with multiprocessing.Pool(options.jobs) as pool:
        for count, some, failure in pool.imap_unordered(run_chunk, chunks):
            done += count
            outcomes += some
            now = time.monotonic()
            if failure:
                print(f"seed {options.seed}: {failure}")
                return 1
            if now - last > 5 or done == options.count:
                last = now
                rate = done / (now - begin)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                print(f"{done:,} of {options.count:,} cases, {rate:,.0f} cases/s, {peak} MiB here", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"largest job {peak} MiB, {len(outcomes)} outcomes")
    for outcome, count in outcomes.most_common():
        print(f"{count:>12,}  {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
