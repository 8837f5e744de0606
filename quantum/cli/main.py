"""The commands by name. A command's module is imported when it is called, so that `publish` never waits for the broker."""

import importlib
from typing import Final

import click

import quantum

# name → (module, attribute, what it does, as the list of commands says it)
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "run": ("quantum.cli.run", "run", "Run a broker node."),
    "publish": ("quantum.cli.publish", "publish", "Publish messages, from --message or from stdin."),
    "subscribe": ("quantum.cli.subscribe", "subscribe", "Subscribe and print messages, one JSON object a line."),
    "certs": ("quantum.cli.certs", "certs", "Make a CA, a server's and clients' certificates."),
    "password": ("quantum.cli.password", "password", "Keep a file of users and the keys of their passwords."),
    "inspect": ("quantum.cli.inspect", "inspect", "Read a data directory without changing it."),
    "bench": ("quantum.cli.bench", "bench", "Measure a broker, in Python and honest about it."),
    "sim": ("quantum.cli.sim", "sim", "Run the simulator: seeds, faults, replays."),
}


class LazyGroup(click.Group):
    """Finds a command by importing its module, and lists the commands without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None where the name is not in the table."""
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        command = getattr(importlib.import_module(row[0]), row[1])
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list under --help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[2]) for name, row in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(quantum.__version__, prog_name="quantum")
def main() -> None:
    """Quantum, an MQTT broker whose acknowledgements are true."""


if __name__ == "__main__":
    main()
