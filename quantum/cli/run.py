"""`quantum run`: a node in the foreground, until a signal stops it."""

import os

import click

from quantum.io.config import Config, ConfigError, Value, load_config, reference_toml
from quantum.io.runtime import run as run_node


@click.command()
@click.option("--config", "-c", "file", type=click.Path(dir_okay=False), help="TOML; see config/quantum.toml.")
@click.option("--data-dir", "-d", type=click.Path(file_okay=False), help="The node's data directory. Default: ./data.")
@click.option(
    "--listen",
    "-l",
    multiple=True,
    metavar="URL",
    help="tcp, tls, ws or wss://HOST:PORT; repeatable, port 0 picks one.",
)
@click.option("--http", metavar="HOST:PORT", help="Management HTTP; empty for none.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key of the configuration; repeatable.")
@click.option("--print-config", is_flag=True, help="Print the reference configuration and end.")
def run(
    file: str | None,
    data_dir: str | None,
    listen: tuple[str, ...],
    http: str | None,
    settings: tuple[str, ...],
    print_config: bool,
) -> None:
    """Run a broker node. Without options it is a safe single node on this machine, with its data in ./data."""
    if print_config:
        click.echo(reference_toml(), nl=False)
        return
    flags: dict[str, Value] = {}
    if data_dir is not None:
        flags["paths.data_dir"] = data_dir
    if listen:
        flags["listeners.urls"] = list(listen)
    if http is not None:
        flags["http.bind"] = http
    raise SystemExit(run_node(_config(file, settings, flags)))


def _config(file: str | None, settings: tuple[str, ...], flags: dict[str, Value]) -> Config:
    try:
        return load_config(file, os.environ, settings, flags)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
