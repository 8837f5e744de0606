"""Goal: what people use works against Quantum. Method: each client, in each version it speaks, plays each scenario
against a `quantum run`; the table of all cells is printed at the end of the run."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.broker_process import BrokerProcess
from tests.conformance.clients import mqttjs_driver
from tests.conformance.clients.aiomqtt_driver import AiomqttDriver
from tests.conformance.clients.client import Driver, reason_lacking
from tests.conformance.clients.gmqtt_driver import GmqttDriver
from tests.conformance.clients.mosquitto_driver import MosquittoDriver
from tests.conformance.clients.mqttjs_driver import MqttJsDriver
from tests.conformance.clients.paho_driver import PahoDriver
from tests.conformance.clients.scenarios import SCENARIOS, Cell
from tests.conformance.conftest import Certificates

VERSIONS = ("3.1", "3.1.1", "5.0")
DRIVERS: dict[str, Callable[[], Driver]] = {
    "paho-mqtt": PahoDriver,
    "aiomqtt": AiomqttDriver,
    "gmqtt": GmqttDriver,
    "mosquitto clients": MosquittoDriver,
    "MQTT.js": MqttJsDriver,
}
PROGRAMS = {"mosquitto clients": ("mosquitto_pub", "mosquitto_sub", "stdbuf"), "MQTT.js": ("node", "npm")}


def why_absent(name: str) -> str:
    """Why a client is not on this machine, "" where it is."""
    missing = [program for program in PROGRAMS.get(name, ()) if shutil.which(program) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    return mqttjs_driver.install() if name == "MQTT.js" else ""


@pytest.fixture(scope="module")
def drivers() -> Iterator[dict[str, Driver | str]]:
    """Each client's driver, made when it is first asked for, or why there is none."""
    made: dict[str, Driver | str] = {}
    yield made
    for driver in made.values():
        if not isinstance(driver, str):
            driver.close()


@pytest.fixture(scope="module")
def matrix_broker(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[BrokerProcess]:
    """A node that scenarios may kill, if they start it again."""
    folder = certificates.folder
    files = {"cert": "server.crt", "key": "server.key", "client_ca": "ca.crt"}
    options = [word for key, file in files.items() for word in ("--set", f"tls.{key}={folder / file}")]
    node = BrokerProcess(tmp_path_factory.mktemp("matrix"), options, ("tcp", "tls", "ws"))
    node.start()
    yield node
    node.stop()


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("protocol", VERSIONS)
@pytest.mark.parametrize("client", DRIVERS)
def test_client(
    drivers: dict[str, Driver | str],
    matrix_broker: BrokerProcess,
    certificates: Certificates,
    client: str,
    protocol: str,
    scenario: str,
) -> None:
    if client not in drivers:
        drivers[client] = why_absent(client) or DRIVERS[client]()
    driver = drivers[client]
    if isinstance(driver, str):
        pytest.skip(driver)
    reason = reason_lacking(driver, protocol, scenario)
    if reason:
        pytest.skip(reason)
    topic = f"{client}/{protocol}/{scenario}".replace(" ", "-")
    cell = Cell(driver, protocol, matrix_broker, Path(certificates.folder), topic)
    try:
        SCENARIOS[scenario](cell)
    finally:
        cell.close()
