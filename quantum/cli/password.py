"""`quantum password`: who may connect, in a users file that holds keys and no passwords."""

import secrets
import sys
from pathlib import Path

import click

from quantum.cli.saslprep import saslprep
from quantum.cli.table import echo_table
from quantum.core.edge.users import (
    ITERATIONS_MAX,
    ITERATIONS_MIN,
    SALT_BYTES,
    UserFile,
    UsersRefused,
    check_user_name,
    derive_keys,
)
from quantum.io.users_file import new_users, read_users, write_users


@click.group()
def password() -> None:
    """Keep a users file, as auth.users_file names it."""


@password.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("user")
@click.option("--stdin", "is_read", is_flag=True, help="Read the password from stdin instead of asking for it.")
@click.option(
    "--iterations",
    type=click.IntRange(ITERATIONS_MIN, ITERATIONS_MAX),
    help=f"Hashes of a guess at a stolen file; of a new file, where the default is {ITERATIONS_MIN}.",
)
def add(file: str, user: str, is_read: bool, iterations: int | None) -> None:
    """Add USER to FILE, or change its password; a FILE that is not there is made."""
    folder = Path(file).parent
    if not folder.is_dir():
        raise click.ClickException(f"{file} cannot be written: there is no folder {folder}; make it first")
    users = _read(file) if Path(file).exists() else new_users(iterations or ITERATIONS_MIN)
    if iterations is not None and iterations != users.iterations:
        # Who can tell users apart by their iterations can tell them from names that are none.
        raise click.ClickException(f"{file} has {users.iterations} iterations for all its users; make a new file")
    if is_read:
        text = sys.stdin.readline().rstrip("\r\n")
    else:
        text = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    name, prepared = _prepared("USER", user), _prepared("the password", text)
    try:
        check_user_name(name)
    except UsersRefused as error:
        raise click.ClickException(str(error)) from None
    users.keys[name] = derive_keys(prepared.encode(), secrets.token_bytes(SALT_BYTES), users.iterations)
    _write(file, users)


@password.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("user")
def remove(file: str, user: str) -> None:
    """Take USER out of FILE."""
    users = _read(file)
    if users.keys.pop(_prepared("USER", user), None) is None:
        raise click.ClickException(f"{file} has no user {user}; `quantum password list {file}` shows who there is")
    _write(file, users)


@password.command("list")
@click.argument("file", type=click.Path(dir_okay=False))
def list_users(file: str) -> None:
    """Print the users of FILE."""
    users = _read(file)
    rows: list[list[str | int | float]] = [[name, users.keys[name].iterations] for name in sorted(users.keys)]
    echo_table(["user", "iterations"], rows)


def _prepared(what: str, text: str) -> str:
    try:
        return saslprep(text)
    except ValueError as error:
        raise click.ClickException(f"{what} cannot be used: {error}") from None


def _read(file: str) -> UserFile:
    try:
        return read_users(file)
    except UsersRefused as error:
        raise click.ClickException(str(error)) from None


def _write(file: str, users: UserFile) -> None:
    try:
        write_users(file, users)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from error
