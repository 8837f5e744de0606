"""Goal: a users file is understood or refused in one line that tells no secret, and passwords are held against it."""

import pytest

from quantum.core.edge.users import UserFile, Users, UsersRefused, derive_keys, parse_users

SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
HEAD = f"quantum-users-1 4096 {SECRET}\n"
ANN = f"ann:SCRAM-SHA-256$4096:c2FsdA==${KEY}:{KEY}\n"


def test_file_is_read_as_it_was_written() -> None:
    keys = {name: derive_keys(b"pw", b"salt", 4096) for name in ("ann", "b:o:b", "ü ü", "$")}
    text = UserFile(5000, bytes(32), keys).to_text()
    again = parse_users(text)
    assert ["$", "ann", "b:o:b", "ü ü"] == list(again.keys)
    assert text == again.to_text()
    assert 5000 == again.iterations


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1 is no head"),
        (ANN, "line 1 is no head"),
        (HEAD.replace("users-1", "users-2"), "line 1 is no head"),
        (HEAD.replace("4096", "4095"), "'4095' iterations, allowed 4096 to 1000000"),
        (HEAD.replace("4096", "1000001"), "iterations"),
        (HEAD.replace("4096", "-4096"), "iterations"),
        (HEAD.replace("4096", "٤٠٩٦"), "iterations"),
        (HEAD.replace(SECRET, "AAEC"), "secret of 3 bytes, allowed 32"),
        (HEAD.replace(SECRET, "*"), "line 1 has bytes that are no base64"),
        (HEAD + "ann\n", "line 2 is no user"),
        (HEAD + ANN.replace("SHA-256", "SHA-1"), "line 2 is no user"),
        (HEAD + ANN.replace("$" + KEY, KEY), "line 2 is no user"),
        (HEAD + ANN.replace("c2FsdA==", ""), "line 2 has no salt"),
        (HEAD + ANN.replace(KEY, "AAEC"), "line 2 has no salt, or keys of other than 32 bytes"),
        (HEAD + ANN[3:], "line 2: user name of 0 bytes"),
        (HEAD + "x" * 1022 + ANN, "line 2: user name of 1025 bytes"),
        (HEAD + "\x1b" + ANN, "line 2: user name with characters"),
        (HEAD + ANN + ANN, "line 3 names a user a second time"),
    ],
)
def test_file_that_is_none_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UsersRefused) as caught:
        parse_users(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_password_is_held_against_the_keys_of_its_user() -> None:
    users = Users(UserFile(4096, bytes(32), {"ann": derive_keys(b"pencil", b"salt", 4096)}))
    assert users.is_right("ann", b"pencil")
    assert not users.is_right("ann", b"Pencil")
    assert not users.is_right("eve", b"pencil")
    assert not users.is_right("", b"")


def test_password_that_was_right_is_known_again_until_the_file_changes() -> None:
    file = UserFile(4096, bytes(32), {"ann": derive_keys(b"pencil", b"salt", 4096)})
    users = Users(file)
    assert not users.is_proven("ann", b"pencil")
    users.is_right("ann", b"wrong")
    assert not users.is_proven("ann", b"wrong")
    users.is_right("ann", b"pencil")
    assert users.is_proven("ann", b"pencil")
    assert not users.is_proven("ann", b"wrong")
    assert not users.is_proven("bob", b"pencil")
    users.replace(file)
    assert not users.is_proven("ann", b"pencil")


def test_passwords_known_again_are_bounded() -> None:
    one = derive_keys(b"pw", b"salt", 4096)
    users = Users(UserFile(4096, bytes(32), dict.fromkeys("abc", one)), proven_max=2)
    for name in "abac":
        assert users.is_right(name, b"pw")
    assert [True, False, True] == [users.is_proven(name, b"pw") for name in "abc"]
