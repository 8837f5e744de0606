"""`quantum certs`: certificates for development and closed networks."""

from pathlib import Path

import click

from quantum.cli.table import echo_table
from quantum.io.certs import DEFAULT_HOSTS, make_certificates, make_client


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--host", multiple=True, help="A name or address of the server; repeatable. Default: the loopback's.")
@click.option("--client", "clients", multiple=True, help="The name of a further client; repeatable.")
def certs(directory: Path, host: tuple[str, ...], clients: tuple[str, ...]) -> None:
    """Make a CA, a server's and a client's certificate in DIRECTORY; files that are there are kept."""
    for name in clients:
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise click.UsageError(f"--client {name}: allowed are letters, digits, dot, dash and underscore")
        if name in ("ca", "server"):
            raise click.UsageError(f"--client {name}: {name}.crt is not a client's; choose another name")
    try:
        made = make_certificates(directory, host or DEFAULT_HOSTS)
        rows: list[list[str | int | float]] = [
            ["the CA that clients and the broker trust", str(made.ca)],
            ["the server's certificate", str(made.server_cert)],
            ["the server's key", str(made.server_key)],
            ["a client's certificate", str(made.client_cert)],
            ["a client's key", str(made.client_key)],
        ]
        for name in clients:
            cert, key = make_client(directory, name)
            rows += [[f"the certificate of {name}", str(cert)], [f"the key of {name}", str(key)]]
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot write certificates to {directory}: {error}") from error
    echo_table(["what", "file"], rows)
