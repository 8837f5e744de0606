"""Goal: who says the client is who, on the wire: SCRAM between CONNECT and CONNACK, again on an open connection, and plain
passwords; whoever fails touches nobody else. Method: packets through the node's door."""

import pytest

from quantum.core.causes import AUTHENTICATION_FAILED, BAD_USER_NAME_OR_PASSWORD
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.scram import SCRAM_SHA_256, Scram
from quantum.core.edge.users import UserFile, Users, derive_keys
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import (
    V5,
    V31,
    V311,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Subscribe,
    Subscription,
    Will,
)
from quantum.core.mqtt.properties import Properties
from tests.core.edge.scram_client import ScramClient
from tests.core.node.door import Door

METHOD, DATA = 21, 22


def make_door(*, allow_anonymous: bool = False) -> Door:
    names = ("ann", "bob")
    keys = {name: derive_keys(f"{name}'s".encode(), name.encode(), 4096) for name in names}
    users = Users(UserFile(4096, bytes(32), keys))
    return Door(edge=EdgeConfig(mechanisms={SCRAM_SHA_256: Scram(users)}, users=users, allow_anonymous=allow_anonymous))


def with_method(data: bytes) -> Properties:
    return {METHOD: SCRAM_SHA_256, DATA: data}


def data_of(packet: Packet) -> bytes:
    assert isinstance(packet, Auth | Connack)
    data = packet.properties[DATA]
    assert isinstance(data, bytes)
    return data


def opened(door: Door, user: str = "ann", **fields: object) -> int:
    """A connection that SCRAM let in."""
    client = ScramClient(user, f"{user}'s")
    conn_id = door.connect(f"{user}-1", properties=with_method(client.first()), **fields)  # type: ignore[arg-type]
    (asked,) = door.take(conn_id)
    door.send_packet(conn_id, Auth(0x18, with_method(client.final(data_of(asked)))))
    (connack,) = door.take(conn_id)
    assert isinstance(connack, Connack)
    assert 0 == connack.reason_code
    assert SCRAM_SHA_256 == connack.properties[METHOD]
    assert client.is_proven(data_of(connack))
    return conn_id


def codes_of(packets: list[Packet]) -> list[int]:
    return [packet.reason_code for packet in packets if isinstance(packet, Connack | Disconnect | Auth)]


# -- SCRAM ------------------------------------------------------------------------------------------------------------


def test_connack_carries_the_servers_proof_and_the_identity_is_the_users() -> None:
    """[MQTT-4.12.0-2] [MQTT-4.12.0-5]"""
    door = make_door()
    opened(door)
    connection = door.ask("/why/client/ann-1").body["connection"]  # type: ignore[index]
    assert "ann" == connection["identity"]  # type: ignore[index]


@pytest.mark.parametrize("user", ["ann", "eve"])
def test_wrong_proof_is_refused_with_0x87_and_no_session(user: str) -> None:
    """[MQTT-4.12.0-4]"""
    door = make_door()
    bystander = opened(door, "bob")
    client = ScramClient(user, "guess")
    conn_id = door.connect("x", properties=with_method(client.first()))
    (asked,) = door.take(conn_id)
    door.send_packet(conn_id, Auth(0x18, with_method(client.final(data_of(asked)))))
    (connack,) = door.take(conn_id)
    assert isinstance(connack, Connack)
    assert 0x87 == connack.reason_code
    assert DATA not in connack.properties
    assert [conn_id] == door.closed
    assert {} == door.node.partition.session_view("x")
    assert 1 == door.node.edge.causes.counts[AUTHENTICATION_FAILED.number]
    door.send_packet(bystander, Pingreq())
    assert [Pingresp()] == door.take(bystander)


def test_nonces_never_come_twice() -> None:
    door = make_door()
    firsts = []
    for _ in range(3):
        conn_id = door.connect("x", properties=with_method(ScramClient("ann", "").first()))
        firsts.append(data_of(door.take(conn_id)[0]))
    assert 3 == len(set(firsts))


def test_exchange_that_the_client_leaves_opens_no_session() -> None:
    door = make_door()
    for is_polite in (False, True):
        conn_id = door.connect("x", properties=with_method(ScramClient("ann", "").first()))
        door.take(conn_id)
        if is_polite:
            door.send_packet(conn_id, Disconnect(0))
        else:
            door.cut(conn_id)
        assert [] == door.take(conn_id)
    assert 0 == door.node.partition.counts()["sessions"]
    assert {} == door.node.edge.connections


def test_exchange_that_the_client_lets_rest_ends_with_the_connect_timeout() -> None:
    door = make_door()
    conn_id = door.connect("x", properties=with_method(ScramClient("ann", "").first()))
    door.pass_time(9_999)
    assert [] == door.closed
    door.pass_time(1)
    assert [conn_id] == door.closed


@pytest.mark.parametrize("is_begun", [False, True])
def test_bytes_that_trickle_in_put_the_connect_timeout_off_for_nobody(is_begun: bool) -> None:
    door = make_door()
    conn_id = door.open()
    door.versions[conn_id] = V5
    if is_begun:
        door.send_packet(conn_id, Connect(V5, "x", True, 0, properties=with_method(ScramClient("ann", "").first())))
        packet: Packet = Auth(0x18, with_method(bytes(100)))
    else:
        packet = Connect(V5, "x" * 100, True, 0)
    data = encode_packet(V5, packet)
    for at in range(9):
        door.pass_time(1_111)
        door.send(conn_id, data[at : at + 1])
    assert [] == door.closed
    door.pass_time(1)
    assert [conn_id] == door.closed


@pytest.mark.parametrize(
    "packet",
    [
        Auth(0x19, {METHOD: SCRAM_SHA_256, DATA: b""}),  # [MQTT-4.12.0-3]
        Auth(0x00, {METHOD: SCRAM_SHA_256}),
        Auth(0x18, {METHOD: "OTHER", DATA: b""}),  # [MQTT-4.12.0-5]
        Auth(0x18, {DATA: b""}),
        Pingreq(),  # [MQTT-3.1.2-30]
        Publish("t", b"x"),
        Subscribe(1, [Subscription("t", 0)]),
    ],
)
def test_nothing_but_the_next_step_is_allowed_before_connack(packet: Packet) -> None:
    door = make_door()
    conn_id = door.connect("x", properties=with_method(ScramClient("ann", "").first()))
    door.take(conn_id)
    door.send_packet(conn_id, packet)
    assert [0x82] == codes_of(door.take(conn_id))
    assert [conn_id] == door.closed


def test_refused_method_says_so() -> None:
    door = make_door()
    conn_id = door.connect("x", properties={METHOD: "SCRAM-SHA-1", DATA: b""})
    assert [0x8C] == codes_of(door.take(conn_id))


# -- re-authentication ------------------------------------------------------------------------------------------------


def test_open_connection_authenticates_again_while_it_works_on() -> None:
    """4.12.1"""
    door = make_door()
    conn_id = opened(door)
    for nonce in ("first", "second"):
        client = ScramClient("ann", "ann's", nonce)
        door.send_packet(conn_id, Auth(0x19, with_method(client.first())))
        (asked,) = door.take(conn_id)
        assert [0x18] == codes_of([asked])
        door.send_packet(conn_id, Pingreq())
        assert [Pingresp()] == door.take(conn_id)
        door.send_packet(conn_id, Auth(0x18, with_method(client.final(data_of(asked)))))
        (done,) = door.take(conn_id)
        assert [0] == codes_of([done])
        assert client.is_proven(data_of(done))
    assert [] == door.closed


@pytest.mark.parametrize(("user", "password"), [("ann", "guess"), ("bob", "bob's"), ("eve", "guess")])
def test_failed_re_authentication_ends_the_connection_with_its_will(user: str, password: str) -> None:
    """[MQTT-4.12.1-2]: and whoever proves to be somebody else has failed."""
    door = make_door()
    bystander = opened(door, "bob")
    door.send_packet(bystander, Subscribe(1, [Subscription("will", 0)]))
    door.take(bystander)
    conn_id = opened(door, will=Will("will", b"gone", 0, False))
    client = ScramClient(user, password)
    door.send_packet(conn_id, Auth(0x19, with_method(client.first())))
    (asked,) = door.take(conn_id)
    door.send_packet(conn_id, Auth(0x18, with_method(client.final(data_of(asked)))))
    assert [0x87] == codes_of(door.take(conn_id))
    assert [conn_id] == door.closed
    assert 1 == door.node.edge.causes.counts[AUTHENTICATION_FAILED.number]
    assert [b"gone"] == [packet.payload for packet in door.take(bystander) if isinstance(packet, Publish)]


@pytest.mark.parametrize(
    "packet",
    [
        Auth(0x19, {METHOD: "OTHER", DATA: b""}),  # [MQTT-4.12.1-1] the method must be CONNECT's
        Auth(0x19, {DATA: b""}),
        Auth(0x18, {METHOD: SCRAM_SHA_256, DATA: b""}),  # nothing was begun
        Auth(0x00, {METHOD: SCRAM_SHA_256}),  # [MQTT-3.15.2-1] is the server's to say
    ],
)
def test_re_authentication_out_of_order_is_a_protocol_error(packet: Auth) -> None:
    door = make_door()
    conn_id = opened(door)
    door.send_packet(conn_id, packet)
    assert [0x82] == codes_of(door.take(conn_id))
    assert [conn_id] == door.closed


def test_success_is_the_servers_to_say_within_an_exchange_too() -> None:
    door = make_door()
    conn_id = opened(door)
    door.send_packet(conn_id, Auth(0x19, with_method(ScramClient("ann", "").first())))
    door.take(conn_id)
    door.send_packet(conn_id, Auth(0x00, {METHOD: SCRAM_SHA_256}))
    assert [0x82] == codes_of(door.take(conn_id))


def test_auth_without_method_on_connect_is_a_protocol_error() -> None:
    """[MQTT-4.12.0-7]"""
    door = make_door(allow_anonymous=True)
    conn_id, _ = door.connected("x")
    door.send_packet(conn_id, Auth(0x19, with_method(b"")))
    assert [0x82] == codes_of(door.take(conn_id))


# -- passwords --------------------------------------------------------------------------------------------------------


def login(version: int, username: str | None, password: bytes | None) -> Connect:
    return Connect(version, "c", True, 0, username=username, password=password)


def try_login(door: Door, packet: Connect, certificate_name: str = "") -> int:
    conn_id = door.open(certificate_name)
    door.versions[conn_id] = packet.protocol_version
    door.send_packet(conn_id, packet)
    return conn_id


@pytest.mark.parametrize("version", [V31, V311, V5])
def test_right_password_lets_in_at_once_and_again(version: int) -> None:
    door = make_door()
    for _ in range(2):
        conn_id = try_login(door, login(version, "ann", b"ann's"))
        assert [0] == codes_of(door.take(conn_id))
        identity = door.node.edge.connections[conn_id].identity
        assert "ann" == identity
        door.cut(conn_id)


@pytest.mark.parametrize(("version", "code"), [(V31, 4), (V311, 4), (V5, 0x86)])
@pytest.mark.parametrize(
    ("username", "password"),
    [("ann", b"guess"), ("ann", None), ("ann", b""), ("eve", b"ann's"), ("", b""), ("bob", b"ann's")],
)
def test_wrong_password_is_refused_whoever_it_is(
    version: int, code: int, username: str, password: bytes | None
) -> None:
    door = make_door(allow_anonymous=True)
    conn_id = try_login(door, login(version, username, password), "a certificate")
    assert [code] == codes_of(door.take(conn_id))
    assert [conn_id] == door.closed
    assert 1 == door.node.edge.causes.counts[BAD_USER_NAME_OR_PASSWORD.number]
    assert 0 == door.node.partition.counts()["sessions"]


def test_password_without_user_name_is_refused() -> None:
    """Only v5.0 can say it. 3.1.2.9"""
    door = make_door(allow_anonymous=True)
    assert [0x86] == codes_of(door.take(try_login(door, login(V5, None, b"ann's"))))


@pytest.mark.parametrize(("allow_anonymous", "code"), [(True, 0), (False, 0x87)])
def test_client_that_claims_nothing_is_anonymous(allow_anonymous: bool, code: int) -> None:
    door = make_door(allow_anonymous=allow_anonymous)
    assert [code] == codes_of(door.take(door.connect("c")))


def test_certificate_is_enough_without_a_user_name() -> None:
    door = make_door()
    conn_id = try_login(door, login(V5, None, None), "device-7")
    assert [0] == codes_of(door.take(conn_id))


def test_without_users_file_nobody_looks_at_passwords() -> None:
    door = Door()
    assert [0] == codes_of(door.take(try_login(door, login(V311, "anybody", b"anything"))))


def test_what_comes_behind_connect_waits_for_its_answer() -> None:
    door = make_door()
    conn_id = door.open()
    door.versions[conn_id] = V311
    packets: list[Packet] = [login(V311, "ann", b"ann's"), Subscribe(1, [Subscription("t", 0)]), Pingreq()]
    door.send(conn_id, b"".join(encode_packet(V311, packet) for packet in packets))
    assert ["Connack", "Pingresp", "Suback"] == [type(packet).__name__ for packet in door.take(conn_id)]


def test_storm_of_logins_is_spread_over_turns() -> None:
    door = make_door()
    conn_ids = [door.open() for _ in range(9)]
    for conn_id in conn_ids:
        door.versions[conn_id] = V5
        door.inputs.received.append((conn_id, encode_packet(V5, Connect(V5, str(conn_id), True, 0, "ann", b"guess"))))
    refused: list[int] = []
    for _ in range(9):
        before = len(door.closed)
        assert door.turn()
        refused.append(len(door.closed) - before)
    assert [1] * 9 == refused


def test_password_of_a_client_that_left_is_not_checked() -> None:
    door = make_door()
    conn_ids = [door.open() for _ in range(3)]
    for conn_id in conn_ids:
        door.inputs.received.append((conn_id, encode_packet(V5, Connect(V5, str(conn_id), True, 0, "ann", b"guess"))))
        door.inputs.closed.append((conn_id, "reset"))
    door.run()
    assert BAD_USER_NAME_OR_PASSWORD.number not in door.node.edge.causes.counts


def test_users_file_that_was_read_again_holds_for_who_comes_next() -> None:
    door = make_door()
    stands = opened(door)
    door.inputs.users = UserFile(4096, bytes(32), {"ann": derive_keys(b"new", b"salt", 4096)})
    door.run()
    codes = []
    for username, password in (("ann", b"ann's"), ("ann", b"new"), ("bob", b"bob's")):
        codes += codes_of(door.take(try_login(door, login(V5, username, password))))
    assert [0x86, 0, 0x86] == codes
    door.send_packet(stands, Pingreq())
    assert [Pingresp()] == door.take(stands)
