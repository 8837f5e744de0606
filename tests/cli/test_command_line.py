"""Goal: the command line says in one line what came, what is allowed and what to do. Method: click's runner, no broker."""

import random
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from quantum.cli.address import Address, address_of, parse_address
from quantum.cli.backoff import FIRST_MS, MAX_MS, Backoff
from quantum.cli.main import COMMANDS, main
from quantum.cli.message_json import OutgoingMessage
from quantum.cli.publish import LineParser
from quantum.cli.table import echo_table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://h:1", Address("tcp", "h", 1)),
        ("h", Address("tcp", "h", 1883)),
        ("h:5", Address("tcp", "h", 5)),
        ("mqtts://h", Address("tls", "h", 8883)),
        ("ws://h", Address("ws", "h", 8084, "/mqtt")),
        ("wss://h:1/x", Address("wss", "h", 1, "/x")),
        ("tcp://[::1]:7", Address("tcp", "::1", 7)),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert expected == parse_address(text)


@pytest.mark.parametrize("text", ["http://h", "tcp://", "tcp://h:99999", "tcp://h:x", "tcp://[::1"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(click.UsageError):
        parse_address(text)


@pytest.mark.parametrize("name", ["ca", "server", "../x", ""])
def test_no_client_may_be_named_as_what_is_no_client(tmp_path: Path, name: str) -> None:
    refused = CliRunner().invoke(main, ["certs", str(tmp_path / "certs"), "--client", name])
    assert 2 == refused.exit_code
    assert not (tmp_path / "certs").exists()


def test_certificates_that_are_there_are_kept(tmp_path: Path) -> None:
    command = ["certs", str(tmp_path), "--client", "sensor-1"]
    assert 0 == CliRunner().invoke(main, command).exit_code
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {"ca.crt", "ca.key", "sensor-1.crt", "sensor-1.key"} <= made.keys()
    assert 0 == CliRunner().invoke(main, command).exit_code
    assert made == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_tls_option_turns_the_scheme() -> None:
    assert "tls" == address_of(None, "h", None, True).scheme
    assert 8883 == address_of(None, "h", None, True).port
    assert "wss" == address_of("ws://h", "", None, True).scheme


def test_backoff_doubles_to_its_ceiling_and_begins_again() -> None:
    backoff = Backoff(random.Random(1))
    delays = [backoff.next_ms() for _ in range(40)]
    assert all(0 <= delay <= MAX_MS for delay in delays)
    assert delays[0] <= FIRST_MS
    assert max(delays) > MAX_MS // 2
    backoff.reset()
    assert backoff.next_ms() <= FIRST_MS


def parsed(parser: LineParser, *lines: bytes) -> list[tuple[str, bytes]]:
    """The messages of lines, without those that were skipped."""
    messages = [parser.parse(line) for line in lines]
    return [(message.topic_name, message.payload) for message in messages if message is not None]


def test_lines_with_a_delimiter_name_their_topic() -> None:
    parser = LineParser(OutgoingMessage("", b"", 1, False), ":", False)
    assert [("a", b"b:c"), ("d", b"")] == parsed(parser, b"a:b:c", b"none", b":x", b"d:", b"\xff:x")
    assert 3 == parser.skipped


def test_plain_lines_are_payloads() -> None:
    parser = LineParser(OutgoingMessage("t", b"", 1, False), None, False)
    assert [("t", b"a:b"), ("t", b"")] == parsed(parser, b"a:b", b"")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["publish"], "no topic"),
        (["subscribe"], "no topic"),
        (["subscribe", "t", "--url", "http://x"], "allowed tcp://"),
        (["subscribe", "mqtt://127.0.0.1", "$SYS/#"], "write --url mqtt://127.0.0.1"),
        (["publish", "tcp://127.0.0.1", "m"], "write --url tcp://127.0.0.1"),
        (["subscribe", "t", "--no-clean"], "--client-id"),
        (["publish", "t", "m", "--v", "4", "--content-type", "x"], "--v 5"),
        (["inspect", "wal", "/nonexistent"], "does not exist"),
        (["flub"], "No such command"),
    ],
)
def test_mistakes_are_told_with_what_to_do(arguments: list[str], word: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert 2 == result.exit_code
    assert word in result.output


def test_every_command_of_the_table_loads() -> None:
    context = click.Context(main)
    assert isinstance(main, click.Group)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        assert name == command.name


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from quantum.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith(('quantum.core', 'quantum.io', 'asyncio'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip().splitlines()[-1]


def test_tables_align_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table(["name", "count"], [["a", 1], ["bcdef", 12345]])
    assert "name    count\na           1\nbcdef  12,345\n" == capsys.readouterr().out
