"""Goal: `quantum password` keeps a users file that the broker understands, that nobody else can read, and that holds no
password. Method: click's runner on files."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from quantum.cli.password import password
from quantum.cli.saslprep import saslprep
from quantum.core.edge.users import Users
from quantum.io.users_file import read_users


def call(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(password, [str(argument) for argument in arguments], input=text)


def is_right(file: Path, name: str, text: str) -> bool:
    return Users(read_users(str(file))).is_right(name, text.encode())


def test_user_is_added_and_its_password_changed(tmp_path: Path) -> None:
    file = tmp_path / "users"
    assert 0 == call("add", file, "ann", "--stdin", text="first\n").exit_code
    secret = read_users(str(file)).secret
    assert 0 == call("add", file, "bob", "--stdin", text="second\n").exit_code
    assert is_right(file, "ann", "first")
    assert is_right(file, "bob", "second")
    assert 0 == call("add", file, "ann", "--stdin", text="third\n").exit_code
    assert is_right(file, "ann", "third")
    assert not is_right(file, "ann", "first")
    assert secret == read_users(str(file)).secret
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert ["users"] == [path.name for path in tmp_path.iterdir()]
    assert "first" not in file.read_text()


def test_two_files_and_two_users_share_no_secret_and_no_salt(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for user in ("ann", "bob"):
            call("add", tmp_path / name, user, "--stdin", text="same\n")
    one, two = (read_users(str(tmp_path / name)) for name in ("one", "two"))
    assert one.secret != two.secret
    assert 4 == len({keys.salt for file in (one, two) for keys in file.keys.values()})


def test_password_is_asked_for_twice(tmp_path: Path) -> None:
    file = tmp_path / "users"
    assert 0 == call("add", file, "ann", text="pencil\npencil\n").exit_code
    assert is_right(file, "ann", "pencil")
    result = call("add", file, "ann", text="pencil\neraser\n")
    assert 0 != result.exit_code
    assert "pencil" not in result.output.replace("Password", "")


def test_user_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "users"
    for user in ("ann", "bob"):
        call("add", file, user, "--stdin", text="x\n")
    assert 0 == call("remove", file, "ann").exit_code
    assert ["bob"] == list(read_users(str(file)).keys)
    result = call("remove", file, "ann")
    assert (1, True) == (result.exit_code, f"no user ann; `quantum password list {file}`" in result.output)


def test_users_are_listed_without_their_keys(tmp_path: Path) -> None:
    file = tmp_path / "users"
    call("add", file, "ann", "--stdin", "--iterations", "5000", text="x\n")
    call("add", file, "bob", "--stdin", text="x\n")
    output = call("list", file).output
    assert [["ann", "5,000"], ["bob", "5,000"]] == [line.split() for line in output.splitlines()[-2:]]
    assert "SCRAM" not in output


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        (["add", "FILE", "", "--stdin"], "x\n", "USER cannot be used: nothing is left of it"),
        (["add", "FILE", "ann", "--stdin"], "", "the password cannot be used: nothing is left of it"),
        (["add", "FILE", "ann", "--stdin"], "a\x07b\n", "the password cannot be used: it holds U+0007"),
        (["add", "FILE", "a\nb", "--stdin"], "x\n", "USER cannot be used: it holds U+000A"),
        (["add", "FILE", "ann", "--stdin", "--iterations", "4095"], "x\n", "4096<=x<=1000000"),
        (["add", "FILE", "x" * 1025, "--stdin"], "x\n", "user name of 1025 bytes"),
        (["add", "NODIR/users", "ann", "--stdin"], "x\n", "there is no folder "),
        (["remove", "FILE", "ann"], None, "No such file or directory"),
        (["list", "FILE"], None, "No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    tmp_path: Path, arguments: list[str], text: str | None, said: str
) -> None:
    file = tmp_path / "users"
    words = [word.replace("FILE", str(file)).replace("NODIR", str(tmp_path / "none")) for word in arguments]
    result = call(*words, text=text)
    assert 0 != result.exit_code
    assert said in result.output
    assert [] == list(tmp_path.iterdir())


def test_file_keeps_one_number_of_iterations(tmp_path: Path) -> None:
    """Who has another one can be told from names that are none."""
    file = tmp_path / "users"
    call("add", file, "ann", "--stdin", text="x\n")
    before = file.read_bytes()
    result = call("add", file, "bob", "--stdin", "--iterations", "8192", text="x\n")
    assert (1, True) == (result.exit_code, "has 4096 iterations for all its users" in result.output)
    assert before == file.read_bytes()


def test_file_that_is_none_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_bytes(b"\xff")
    result = call("add", file, "ann", "--stdin", text="x\n")
    assert (1, True) == (result.exit_code, f"{file}: not UTF-8" in result.output)
    assert b"\xff" == file.read_bytes()


def test_what_a_killed_command_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "users.new").write_text("half")
    assert 0 == call("add", tmp_path / "users", "ann", "--stdin", text="x\n").exit_code
    assert ["users"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\xadX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\xaa", "a"),
        ("\u2168", "IX"),
        ("a\xa0b", "a b"),
    ],
)
def test_saslprep_of_the_rfc(text: str, prepared: str) -> None:
    """RFC 4013 §3"""
    assert prepared == saslprep(text)


@pytest.mark.parametrize(
    "text", ["\x07", "\u06271", "", "\xad", "\u0221", "\ue000", "\ud800", "a\u0627", "\u0627a\u0627"]
)
def test_saslprep_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"it |nothing"):
        saslprep(text)


def test_password_is_stored_as_scram_clients_compute_with_it(tmp_path: Path) -> None:
    file = tmp_path / "users"
    call("add", file, "I\xadX", "--stdin", text="\u2168\n")
    assert ["IX"] == list(read_users(str(file)).keys)
    assert is_right(file, "IX", "IX")
