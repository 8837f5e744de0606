"""The broker that the tests of this folder share, and the certificates it trusts.

`pytest tests/conformance --broker HOST:PORT` runs the tests of statements against any broker instead.
"""

import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.broker_process import BrokerProcess
from tests.conformance.bystander import Bystander
from tests.conformance.clients.table import ClientTable

VERSIONS = (3, 4, 5)  # Protocol Levels: MQTT 3.1, 3.1.1, 5.0
VERSION_NAMES = {3: "3.1", 4: "3.1.1", 5: "5.0"}
# What a test that asks for one of these needs is Quantum itself: there is no sense in it with another broker.
OF_QUANTUM = ("broker", "own_broker", "configured", "certificates")


@dataclass
class Target:
    """Where the broker under test listens. `says_why`: it is known to send a Reason Code before it closes."""

    host: str
    port: int
    versions: tuple[int, ...] = VERSIONS
    says_why: bool = False


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--broker", metavar="HOST:PORT", help="run the tests of statements against this broker")
    group.addoption("--says-why", action="store_true", help="hold it to a Reason Code before it closes, as Quantum is")
    group.addoption("--versions", default="3,4,5", help="Protocol Levels that the broker speaks")


def pytest_configure(config: pytest.Config) -> None:
    levels = config.getoption("--versions", "3,4,5")
    if not all(level in ("3", "4", "5") for level in levels.split(",")):
        raise pytest.UsageError(
            f"--versions {levels}, allowed 3 (MQTT 3.1), 4 (3.1.1) and 5 (5.0), with commas between"
        )
    address = config.getoption("--broker", None)
    if address and not (address.rpartition(":")[2].isdecimal() and 0 < int(address.rpartition(":")[2]) < 65536):
        raise pytest.UsageError(f"--broker {address}, allowed HOST:PORT")
    config.pluginmanager.register(ClientTable())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the argument `version` runs once for each version it holds in."""
    if "version" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("versions")
    spoken = [int(level) for level in metafunc.config.getoption("--versions", "3,4,5").split(",")]
    levels = [level for level in (mark.args if mark is not None else VERSIONS) if level in spoken]
    metafunc.parametrize("version", levels, ids=[VERSION_NAMES[level] for level in levels])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With another broker, only what can be asked of any broker is run."""
    if not config.getoption("--broker", None):
        return
    foreign = [item for item in items if "target" not in getattr(item, "fixturenames", ())]
    foreign += [item for item in items if set(OF_QUANTUM) & set(getattr(item, "fixturenames", ()))]
    config.hook.pytest_deselected(items=list(dict.fromkeys(foreign)))
    items[:] = [item for item in items if item not in foreign]


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


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """The broker under test: `--broker`, or the shared Quantum process."""
    versions = tuple(int(level) for level in request.config.getoption("--versions", "3,4,5").split(","))
    address = request.config.getoption("--broker", None)
    if address:
        host, _, port = address.rpartition(":")
        return Target(host or "127.0.0.1", int(port), versions, request.config.getoption("--says-why"))
    return Target("127.0.0.1", request.getfixturevalue("broker").ports["tcp"], versions, says_why=True)


@pytest.fixture
def bystander(target: Target, name: str) -> Iterator[Bystander]:
    """A connection and state from before the test, that must be unharmed behind it."""
    with Bystander(target, name) as other:
        yield other
        other.check()


@pytest.fixture(scope="session")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Target]]:
    """Quantum with other settings: `configured("mqtt.qos_max=1")`. Tests of the same settings share a process."""
    nodes: dict[tuple[str, ...], BrokerProcess] = {}

    def node(*settings: str) -> Target:
        if settings not in nodes:
            options = [word for setting in settings for word in ("--set", setting)]
            nodes[settings] = BrokerProcess(tmp_path_factory.mktemp("configured"), options)
            nodes[settings].start()
        return Target("127.0.0.1", nodes[settings].ports["tcp"], says_why=True)

    yield node
    for started in nodes.values():
        started.stop()


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
    text: str = request.node.name
    return text.replace("[", "-").replace("]", "").replace("#", "").replace("+", "")
