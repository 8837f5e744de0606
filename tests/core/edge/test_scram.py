"""Goal: SCRAM-SHA-256 as RFC 5802 and 7677 have it, and nothing to be learnt from a failure. Method: the RFC's own
exchange, a client written from the text, and every message taken apart."""

import base64
import random

import pytest

from quantum.core.edge.identity import CONTINUE, FAILURE, SUCCESS, Exchange
from quantum.core.edge.scram import MESSAGE_BYTES_MAX, Scram
from quantum.core.edge.users import UserFile, UserKeys, Users, derive_keys
from tests.core.edge.scram_client import ScramClient

NONCE = "3rfcNHYJY1ZVvWVs7j3rfc"


def users(**passwords: str) -> Users:
    keys: dict[str, UserKeys] = {}
    for name, password in passwords.items():
        keys[name] = derive_keys(password.encode(), name.encode().ljust(16, b"."), 4096)
    return Users(UserFile(4096, bytes(32), keys))


USERS = users(ann="pencil", bob="eraser")
FINAL_FAILURE = (FAILURE, b"", "")


def begin(nonce: str = NONCE) -> Exchange:
    return Scram(USERS).begin(nonce)


def test_exchange_of_the_rfc() -> None:
    """RFC 7677 §3"""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    of_rfc = Users(UserFile(4096, bytes(32), {"user": derive_keys(b"pencil", salt, 4096)}))
    exchange = Scram(of_rfc).begin("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    nonce = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    server_first = nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert (CONTINUE, server_first, "") == exchange.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    proof = b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    server_final = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert (SUCCESS, server_final, "user") == exchange.step(b"c=biws," + nonce + proof)
    assert FINAL_FAILURE == exchange.step(b"c=biws," + nonce + proof)


@pytest.mark.parametrize("gs2", ["n,,", "y,,", "n,a=ann,"])
def test_client_and_server_prove_the_password_to_each_other(gs2: str) -> None:
    client, exchange = ScramClient("ann", "pencil", gs2=gs2), begin()
    _, server_first, _ = exchange.step(client.first())
    outcome, server_final, identity = exchange.step(client.final(server_first))
    assert (SUCCESS, "ann") == (outcome, identity)
    assert client.is_proven(server_final)


def test_client_that_waits_to_be_asked_is_asked_once() -> None:
    exchange = begin()
    assert (CONTINUE, b"", "") == exchange.step(b"")
    assert FINAL_FAILURE == exchange.step(b"")
    exchange = begin()
    exchange.step(b"")
    assert CONTINUE == exchange.step(ScramClient("ann", "pencil").first())[0]


def test_wrong_password_and_unknown_user_look_the_same() -> None:
    seen = []
    for user in ("ann", "eve"):
        client, exchange = ScramClient(user, "wrong"), begin()
        _, first, _ = exchange.step(client.first())
        assert first == begin().step(ScramClient(user, "other").first())[1], "the salt of a name is always the same"
        fields = dict(part.split("=", 1) for part in first.decode().split(","))
        seen.append((sorted(fields), fields["r"], fields["i"], len(base64.b64decode(fields["s"]))))
        assert FINAL_FAILURE == exchange.step(client.final(first))
    assert seen[0] == seen[1]


def test_made_up_salts_differ_by_name_and_secret() -> None:
    others = Users(UserFile(4096, b"1" * 32, {}))
    assert 3 == len({USERS.keys_of("eve").salt, USERS.keys_of("eva").salt, others.keys_of("eve").salt})


def test_name_with_comma_and_equals_sign_is_understood() -> None:
    odd = Users(UserFile(4096, bytes(32), {"a=b,c": derive_keys(b"pw", b"salt", 4096)}))
    client, exchange = ScramClient("a=b,c", "pw"), Scram(odd).begin(NONCE)
    _, first, _ = exchange.step(client.first())
    assert (SUCCESS, "a=b,c") == exchange.step(client.final(first))[::2]


@pytest.mark.parametrize(
    "first",
    [
        b"n,,n=ann",
        b"n,,r=x",
        b"n,,n=,r=x",
        b"n,,n=ann,r=",
        b"n,,n=a=nn,r=x",
        b"n,,n=ann=2,r=x",
        b"n,,m=x,n=ann,r=x",
        b"n,a=bob,n=ann,r=x",
        b"n,b=ann,n=ann,r=x",
        b"p=tls-unique,,n=ann,r=x",
        b"x,,n=ann,r=x",
        b"n,n=ann,r=x",
        b"n,,n=ann,r=\x7f",
        b"n,,n=ann,r=a b",
        "n,,n=ann,r=é".encode(),
        b"n,,n=ann\xff,r=x",
        b"n,,n=ann,r=" + b"x" * MESSAGE_BYTES_MAX,
        b"\x00",
    ],
)
def test_first_message_that_is_none_fails(first: bytes) -> None:
    exchange = begin()
    assert FINAL_FAILURE == exchange.step(first)
    assert FINAL_FAILURE == exchange.step(ScramClient("ann", "pencil").first())


def altered(final: bytes) -> list[bytes]:
    """A right client-final-message made wrong, each time in one place."""
    channel, nonce, proof = final.split(b",", 2)
    other = bytearray(base64.b64decode(proof[2:]))
    other[31] ^= 1
    return [
        b",".join(parts)
        for parts in (
            [b"c=eSws", nonce, proof],
            [channel, nonce + b"x", proof],
            [channel, nonce[:-1], proof],
            [channel, proof],
            [nonce, channel, proof],
            [channel, nonce],
            [channel, nonce, b"p="],
            [channel, nonce, b"p=!"],
            [channel, nonce, proof[:-4]],
            [channel, nonce, b"p=" + base64.b64encode(bytes(other))],
            [channel, nonce, b"p=" + base64.b64encode(bytes(32))],
            [channel, nonce, b"x=ignored", proof],  # allowed, but the proof was made for another message
            [b"\xff", nonce, proof],
        )
    ]


@pytest.mark.parametrize("case", range(13))
def test_last_message_that_is_not_quite_right_fails(case: int) -> None:
    client, exchange = ScramClient("ann", "pencil"), begin()
    _, first, _ = exchange.step(client.first())
    final = client.final(first)
    assert FINAL_FAILURE == exchange.step(altered(final)[case])
    assert FINAL_FAILURE == exchange.step(final), "a second try needs an exchange of its own"


def test_proof_of_one_exchange_is_none_in_another() -> None:
    client, exchange = ScramClient("ann", "pencil"), begin()
    _, first, _ = exchange.step(client.first())
    final = client.final(first)
    other = begin("another" + NONCE)
    other.step(client.first())
    assert FINAL_FAILURE == other.step(final)


def test_no_message_breaks_an_exchange() -> None:
    """Whatever comes, there is an answer, and only the right proof is one."""
    chance = random.Random(1)
    pieces = [
        b"n,,",
        b"y,,",
        b"n=ann",
        b"r=",
        b"c=biws",
        b"p=",
        b",",
        b"=",
        b"=2C",
        b"m=",
        b"a=",
        b"\xff",
        b"\x00",
        b"AAAA",
    ]
    for _ in range(3000):
        exchange = begin()
        client = ScramClient("ann", "pencil")
        messages = [client.first()]
        for _ in range(3):
            roll = chance.random()
            if roll < 0.4:
                message = b"".join(chance.choices(pieces, k=chance.randint(0, 8)))
            elif roll < 0.7:
                flipped = bytearray(chance.choice(messages))
                flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
                message = bytes(flipped)
            else:
                message = chance.choice(messages)
            outcome, reply, identity = exchange.step(message)
            assert outcome in (CONTINUE, FAILURE)
            assert "" == identity
            assert len(reply) < MESSAGE_BYTES_MAX + 200
            if reply:
                messages.append(reply)
