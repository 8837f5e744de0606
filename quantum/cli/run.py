"""`quantum run`: a broker node in this process."""

import os
import sys

import click

from quantum.io.config import ConfigError, Value, load_config


@click.command()
@click.option("--config", "file", type=click.Path(), help="TOML file; see config/quantum.toml for every key.")
@click.option("--data-dir", help="The node's data directory.  [default: ./data]")
@click.option("--listen", multiple=True, metavar="URL", help="tcp, tls, ws or wss://HOST:PORT; may be repeated.")
@click.option("--http", metavar="HOST:PORT", help="Management HTTP.  [default: 127.0.0.1:9090]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key of the configuration.")
def run(
    file: str | None, data_dir: str | None, listen: tuple[str, ...], http: str | None, settings: tuple[str, ...]
) -> None:
    """Run a broker node.

    Without options it serves this machine only: MQTT on 1883, TLS on 8883, WebSocket on 8084 and 8085.
    """
    flags: dict[str, Value] = {}
    if data_dir is not None:
        flags["paths.data_dir"] = data_dir
    if listen:
        flags["listeners.urls"] = list(listen)
    if http is not None:
        flags["http.bind"] = http
    try:
        config = load_config(file, os.environ, settings, flags)
    except ConfigError as error:
        print(f"quantum: {error}", file=sys.stderr)
        sys.exit(2)
    from quantum.io.runtime import run as run_node  # after the configuration is known to be good

    sys.exit(run_node(config))
