"""Resident memory per idle TLS connection; the generator in C speaks plain TCP only."""

import socket
import ssl
from pathlib import Path

from tests.conformance.broker_process import BrokerProcess


def resident_bytes(pid: int) -> int:
    """VmRSS of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def connect_packet(number: int) -> bytes:
    """A CONNECT of v3.1.1 without keep alive."""
    client_id = b"idle-%d" % number
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(client_id).to_bytes(2, "big") + client_id
    return bytes((0x10, len(body))) + body


def tls_connections(data_dir: Path, certificates: Path, count: int) -> int:
    """Bytes of the broker per connection, between one warm-up connection and `count` more."""
    options = [
        f"tls.cert={certificates / 'server.crt'}",
        f"tls.key={certificates / 'server.key'}",
        f"tls.client_ca={certificates / 'ca.crt'}",
    ]
    node = BrokerProcess(data_dir, [word for option in options for word in ("--set", option)], ("tls",))
    node.start()
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    context.load_cert_chain(certificates / "client.crt", certificates / "client.key")
    assert node.process is not None
    held = []
    try:
        before = 0
        for number in range(count + 50):
            if number == 50:
                before = resident_bytes(node.process.pid)
            plain = socket.create_connection(("127.0.0.1", node.ports["tls"]), 10)
            encrypted = context.wrap_socket(plain, server_hostname="127.0.0.1")
            encrypted.sendall(connect_packet(number))
            assert b"\x20" == encrypted.recv(4)[:1]
            held.append(encrypted)
        after = resident_bytes(node.process.pid)
    finally:
        for connection in held:
            connection.close()
        node.stop()
    return (after - before) // count
