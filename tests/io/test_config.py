"""Goal: a configuration that is wrong is told in one line that names source, key, what was found and what is allowed."""

from pathlib import Path

import pytest

from quantum.core.broker.commands import LEAST_INFLIGHT, ROUND_ROBIN
from quantum.core.edge.users import UserFile
from quantum.core.node.storage import Identity
from quantum.io.config import KEYS, ConfigError, load_config, reference_toml, to_node_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[mqtt]\nqos_maxx = 1\n", ["unknown key mqtt.qos_maxx", "did you mean mqtt.qos_max?"]),
        ("[nothing]\nlike = 1\n", ["unknown key nothing.like", "config/quantum.toml"]),
        ("[mqtt]\nqos_max = 3\n", ["mqtt.qos_max is 3", "allowed 0 to 2 QoS"]),
        ('[mqtt]\nqos_max = "1"\n', ["mqtt.qos_max is '1'", "allowed 0 to 2 QoS"]),
        ("[mqtt]\nqos_max = true\n", ["mqtt.qos_max is true", "allowed 0 to 2 QoS"]),
        ("[mqtt]\nretain_available = 1\n", ["mqtt.retain_available is 1", "allowed true and false"]),
        ('[durability]\nmode = "fast"\n', ["durability.mode is 'fast'", "allowed strict, relaxed"]),
        ("[listeners]\nurls = []\n", ["listeners.urls is []", "allowed a list of texts"]),
        ("[paths]\ndata_dir = 1\n", ["paths.data_dir is 1", "allowed a text"]),
        ("[durability]\nsnapshot_log_bytes = 65536\n", ["durability.snapshot_log_bytes is 65536", "67108864"]),
        ('[mqtt]\nshared_strategy = "random"\n', ["allowed round_robin, hash_topic, least_inflight"]),
        ("[mqtt]\nserver_moved = true\n", ["mqtt.server_moved is true", "with mqtt.server_reference only"]),
        (f'[mqtt]\nserver_reference = "{"x" * 1025}"\n', ["mqtt.server_reference has 1025 bytes, allowed 1024"]),
        (f'[mqtt]\nresponse_information = "{"x" * 1025}"\n', ["has 1025 bytes, allowed 1024"]),
        ('[mqtt]\nresponse_information = "r/{x}"\n', ["information is 'r/{x}'", "allowed in braces {client_id} only"]),
        ('[mqtt]\nresponse_information = "r/{client_id"\n', ["allowed in braces {client_id} only"]),
        ("[mqtt\n", ["not TOML"]),
    ],
)
def test_wrong_file_is_told_in_one_line(tmp_path: Path, text: str, parts: list[str]) -> None:
    file = tmp_path / "q.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(str(file), {}, [], {})
    said = str(caught.value)
    assert str(file) in said
    assert "\n" not in said
    assert [] == [part for part in parts if part not in said], said


@pytest.mark.parametrize(
    ("environment", "settings", "said"),
    [
        ({"QUANTUM_MQTT__QOS_MAX": "7"}, [], "environment QUANTUM_MQTT__QOS_MAX: mqtt.qos_max is 7"),
        ({"QUANTUM_NONSENSE": "7"}, [], "unknown key nonsense"),
        ({}, ["mqtt.qos_max"], "write KEY=VALUE"),
        ({}, ["mqtt.qos_max=many"], "--set: mqtt.qos_max is 'many'"),
        ({}, ["mqtt.qos_max=--1"], "--set: mqtt.qos_max is '--1'"),
        ({}, ["mqtt.qos_max=²"], "--set: mqtt.qos_max is '²'"),
        ({"QUANTUM_CONFIG": "/does/not/exist.toml"}, [], "/does/not/exist.toml: cannot be read"),
    ],
)
def test_wrong_environment_or_setting_is_told(environment: dict[str, str], settings: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, environment, settings, {})
    assert said in str(caught.value)


def test_flag_wins_over_setting_over_environment_over_file(tmp_path: Path) -> None:
    file = tmp_path / "q.toml"
    file.write_text('[http]\nbind = "file"\n[mqtt]\nqos_max = 0\nreceive_maximum = 1\n', encoding="utf-8")
    environment = {"QUANTUM_HTTP__BIND": "environment", "QUANTUM_MQTT__QOS_MAX": "1"}
    config = load_config(str(file), environment, ["http.bind=setting"], {})
    assert ("setting", 1, 1) == (
        config.text("http.bind"),
        config.number("mqtt.qos_max"),
        config.number("mqtt.receive_maximum"),
    )
    assert "flag" == load_config(str(file), environment, ["http.bind=setting"], {"http.bind": "flag"}).text("http.bind")


def test_reference_profile_is_generated_and_loads_to_the_defaults() -> None:
    file = ROOT / "config" / "quantum.toml"
    assert reference_toml() == file.read_text(encoding="utf-8")
    assert {key.name: key.default for key in KEYS} == load_config(str(file), {}, [], {}).values


def test_node_is_told_of_users_strategy_and_topics_of_its_own() -> None:
    settings = ["mqtt.shared_strategy=least_inflight", "mqtt.server_reference=a:1", "mqtt.sys_interval_s=0"]
    settings += ["mqtt.server_moved=true", "mqtt.response_information=r/{client_id}"]
    file = UserFile(4096, bytes(32), {})
    told = to_node_config(load_config(None, {}, settings, {}), Identity("c", "n"), file)
    assert LEAST_INFLIGHT == told.policy.shared_strategy
    assert ("a:1", True, "r/{client_id}", 0) == (
        told.edge.server_reference,
        told.edge.is_moved,
        told.edge.response_information,
        told.edge.sys_interval_s,
    )
    assert told.edge.users is not None
    assert ["SCRAM-SHA-256"] == list(told.edge.mechanisms)
    untold = to_node_config(load_config(None, {}, [], {}), Identity("c", "n"))
    assert ROUND_ROBIN == untold.policy.shared_strategy
    assert (None, {}, 10) == (untold.edge.users, untold.edge.mechanisms, untold.edge.sys_interval_s)
