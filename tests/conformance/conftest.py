"""The broker that the tests of this folder share, and the certificates it trusts."""

import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.broker_process import BrokerProcess


@dataclass
class Certificates:
    """Paths of a CA, a server and a client, made by `quantum certs`."""

    folder: Path

    def client_context(self) -> ssl.SSLContext:
        """Verifies the broker, and shows the client's certificate."""
        context = self.anonymous_context()
        context.load_cert_chain(self.folder / "sensor-1.crt", self.folder / "sensor-1.key")
        return context

    def anonymous_context(self) -> ssl.SSLContext:
        """Verifies the broker, and has no certificate to show."""
        return ssl.create_default_context(cafile=str(self.folder / "ca.crt"))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One CA for the whole run."""
    folder = tmp_path_factory.mktemp("certs")
    command = [sys.executable, "-m", "quantum.cli.main", "certs", str(folder), "--client", "sensor-1"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return Certificates(folder)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[BrokerProcess]:
    """A node with a listener of every kind. Tests keep apart by their topics and client ids."""
    node = BrokerProcess(
        tmp_path_factory.mktemp("data"),
        [
            "--set",
            f"tls.cert={certificates.folder / 'server.crt'}",
            "--set",
            f"tls.key={certificates.folder / 'server.key'}",
            "--set",
            f"tls.client_ca={certificates.folder / 'ca.crt'}",
        ],
        ("tcp", "tls", "ws"),
    )
    node.start()
    yield node
    node.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A node that a test may kill."""
    node = BrokerProcess(tmp_path / "data")
    node.start()
    yield node
    node.stop()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A prefix of topics and client ids that no other test has."""
    return request.node.name.replace("[", "-").replace("]", "").replace("#", "").replace("+", "")
