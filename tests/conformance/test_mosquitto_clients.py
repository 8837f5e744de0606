"""Goal: mosquitto_pub and mosquitto_sub work against Quantum. Method: the commands as a user types them; skipped where
they are not installed."""

import shutil
import subprocess

import pytest

from tests.conformance.broker_process import BrokerProcess
from tests.conformance.conftest import Certificates

pytestmark = pytest.mark.skipif(
    not (shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")), reason="mosquitto-clients are not installed"
)
WAIT_S = "10"
VERSIONS = ("mqttv31", "mqttv311", "mqttv5")


def where(broker: BrokerProcess, version: str, scheme: str = "tcp") -> list[str]:
    """The options that name the broker."""
    return ["-h", "127.0.0.1", "-p", str(broker.ports[scheme]), "-V", version]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; it must succeed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert 0 == done.returncode, f"{command}: {done.stderr}"
    return done


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", ["1", "2"])
def test_queued_messages_wait_for_their_session(broker: BrokerProcess, name: str, version: str, qos: str) -> None:
    session = ["-i", name[:23], "-c", "-q", qos, "-t", f"{name}/#"]
    if version == "mqttv5":
        session += ["-x", "3600"]
    run("mosquitto_sub", *where(broker, version), *session, "-E")
    for word in ("one", "two", "three"):
        run("mosquitto_pub", *where(broker, version), "-t", f"{name}/a", "-m", word, "-q", qos)
    got = run("mosquitto_sub", *where(broker, version), *session, "-C", "3", "-W", WAIT_S, "-F", "%q %p")
    assert [f"{qos} one", f"{qos} two", f"{qos} three"] == got.stdout.split("\n")[:-1]


@pytest.mark.parametrize("version", VERSIONS)
def test_retained_message_is_found(broker: BrokerProcess, name: str, version: str) -> None:
    run("mosquitto_pub", *where(broker, version), "-t", f"{name}/a", "-m", "kept", "-r", "-q", "1")
    got = run(
        "mosquitto_sub", *where(broker, version), "-t", f"{name}/+", "-C", "1", "-W", WAIT_S, "-F", "%r %p", "-q", "1"
    )
    assert "1 kept\n" == got.stdout


def test_mutual_tls(broker: BrokerProcess, certificates: Certificates, name: str) -> None:
    folder = certificates.folder
    tls = ["--cafile", f"{folder}/ca.crt", "--cert", f"{folder}/client.crt", "--key", f"{folder}/client.key"]
    run("mosquitto_pub", *where(broker, "mqttv5", "tls"), *tls, "-t", name, "-m", "secret", "-r", "-q", "2")
    got = run("mosquitto_sub", *where(broker, "mqttv5", "tls"), *tls, "-t", name, "-C", "1", "-W", WAIT_S, "-q", "2")
    assert "secret\n" == got.stdout
