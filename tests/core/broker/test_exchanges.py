"""QoS 1 and 2 of replicated sessions, both directions: packet ids, window, order, resending, expiry, limits, ledger.

Method: a partition driven by hand; each acknowledgement is tried where it is right, where it is wrong, and where it has
become wrong. Source: MQTT 5.0 §4.3, §4.4, §4.9.
"""

import pytest

from quantum.core.broker.commands import ON_PUBACK, ON_PUBCOMP, ON_PUBREC, DropDelivery, SetPolicy
from quantum.core.broker.inflight import PACKET_ID_MAX, Inflight
from quantum.core.broker.message import Message
from quantum.core.broker.queue import Copy
from quantum.core.causes import CLIENT_PACKET_TOO_LARGE
from quantum.core.mqtt.packets import Subscription
from tests.core.broker.tape import BIG, Tape


def _tape(receive_maximum: int = 100, policy: SetPolicy | None = None) -> Tape:
    """A publisher `p` and a replicated subscriber `s` of `t`."""
    tape = Tape() if policy is None else Tape(policy)
    tape.open("p")
    tape.open("s", expiry_s=BIG, receive_maximum=receive_maximum)
    tape.subscribe("s", "t")
    return tape


def _publish(tape: Tape, *payloads: str, qos: int = 1) -> None:
    for payload in payloads:
        assert 0 == tape.publish("p", "t", payload.encode(), qos=qos)


def test_qos_1_ends_with_puback() -> None:
    tape = _tape()
    _publish(tape, "m")
    assert [("s", "m", 1, 1, False)] == tape.sent()
    assert 0 == tape.puback("s", 1)
    assert 0x92 == tape.puback("s", 1)
    assert 1 == tape.count("delivered")
    assert 0 == tape.state.counts()["queued_bytes"]


def test_qos_2_goes_through_all_four_packets() -> None:
    tape = _tape()
    _publish(tape, "m", qos=2)
    assert [("s", "m", 2, 1, False)] == tape.sent()
    assert 0 == tape.pubrec("s", 1)
    assert [("s", "PUBREL", 2, 1, False)] == tape.sent()
    assert 0 == tape.count("delivered")
    assert 0 == tape.pubcomp("s", 1)
    assert 1 == tape.count("delivered")
    assert 0x92 == tape.pubcomp("s", 1)


def test_repeated_pubrec_is_answered_with_pubrel_again() -> None:
    tape = _tape()
    _publish(tape, "m", qos=2)
    for _ in range(2):
        assert 0 == tape.pubrec("s", 1)
        assert [("s", "PUBREL", 2, 1, False)] == tape.sent()


@pytest.mark.parametrize(
    ("qos", "step", "result"),
    [
        (1, ON_PUBACK, 0),
        (1, ON_PUBREC, 0x92),
        (1, ON_PUBCOMP, 0x92),
        (2, ON_PUBACK, 0x92),
        (2, ON_PUBREC, 0),
        (2, ON_PUBCOMP, 0x92),
    ],
)
def test_first_acknowledgement_must_fit_the_qos(qos: int, step: int, result: int) -> None:
    tape = _tape()
    _publish(tape, "m", qos=qos)
    assert result == tape._ack("s", 1, step, 0)
    assert ([] if (qos, step) != (2, ON_PUBREC) else [("s", "PUBREL", 2, 1, False)]) == tape.sent()


@pytest.mark.parametrize("step", [ON_PUBACK, ON_PUBREC, ON_PUBCOMP])
def test_acknowledgement_of_an_unknown_packet_id_changes_nothing(step: int) -> None:
    tape = _tape()
    _publish(tape, "m", qos=2)
    before = tape.memory()
    assert 0x92 == tape._ack("s", 2, step, 0)
    assert [] == tape.sent()
    assert before == tape.memory()


def test_acknowledgement_of_an_ephemeral_session_is_unknown_here() -> None:
    tape = _tape()
    assert 0x92 == tape.puback("p", 1)


@pytest.mark.parametrize(("qos", "step"), [(1, ON_PUBACK), (2, ON_PUBREC)])
def test_error_of_the_receiver_ends_the_exchange_with_its_cause(qos: int, step: int) -> None:
    tape = _tape(receive_maximum=1)
    _publish(tape, "bad", "next", qos=qos)
    assert 0 == tape._ack("s", 1, step, 0x80)
    assert [("s", "next", qos, 2, False)] == tape.sent()
    assert 1 == tape.count("dropped", "client_refused")
    assert 0 == tape.count("delivered")


def test_error_below_0x80_is_a_success() -> None:
    tape = _tape()
    _publish(tape, "m")
    tape.puback("s", 1, 0x10)
    assert 1 == tape.count("delivered")


def test_pubcomp_ends_the_exchange_whatever_it_says() -> None:
    tape = _tape()
    _publish(tape, "m", qos=2)
    tape.pubrec("s", 1)
    assert 0 == tape.pubcomp("s", 1, 0x92)
    assert 1 == tape.count("delivered")


def test_window_holds_back_what_the_client_cannot_take() -> None:
    tape = _tape(receive_maximum=2)
    _publish(tape, "a", "b", "c", "d")
    assert {"inflight_messages": 2, "queued_messages": 2}.items() <= tape.state.counts().items()
    tape.puback("s", 2)
    assert [("s", "c", 1, 3, False)] == tape.sent()
    tape.puback("s", 1)
    assert [("s", "d", 1, 4, False)] == tape.sent()


def test_pubrec_does_not_open_the_window() -> None:
    tape = _tape(receive_maximum=1)
    _publish(tape, "a", "b", qos=2)
    tape.pubrec("s", 1)
    assert [("s", "PUBREL", 2, 1, False)] == tape.sent()
    tape.pubcomp("s", 1)
    assert [("s", "b", 2, 2, False)] == tape.sent()


def test_packet_ids_wrap_and_pass_over_those_in_use() -> None:
    inflight = Inflight()
    assert 1 == inflight.add(_copy())
    for packet_id in range(2, PACKET_ID_MAX + 1):
        assert packet_id == inflight.add(_copy())
        if packet_id != 3:
            inflight.remove(packet_id)
    assert 2 == inflight.add(_copy())
    assert 4 == inflight.add(_copy())


def test_packet_ids_survive_200_000_messages_in_a_small_window() -> None:
    inflight = Inflight()
    open_ids = [inflight.add(_copy()) for _ in range(16)]
    for turn in range(200_000):
        inflight.remove(open_ids.pop(turn % 16))
        packet_id = inflight.add(_copy())
        assert packet_id not in open_ids
        assert 1 <= packet_id <= PACKET_ID_MAX
        open_ids.append(packet_id)
    assert 16 == len(inflight.copies)


def _copy() -> Copy:
    return Copy(Message("t", b"x", 1, False), 1, False, (), "")


def test_offline_messages_wait_and_are_sent_in_order_after_reconnecting() -> None:
    tape = _tape()
    tape.cut("s")
    _publish(tape, "a", "b", "c")
    assert [] == tape.sent()
    tape.open("s", expiry_s=BIG, receive_maximum=2)
    assert [("s", "a", 1, 1, False), ("s", "b", 1, 2, False)] == tape.sent()


def test_resumed_session_gets_its_open_exchanges_again_in_order_and_marked() -> None:
    tape = _tape()
    _publish(tape, "one")
    _publish(tape, "two", "three", qos=2)
    _publish(tape, "four")
    tape.pubrec("s", 2)
    tape.cut("s")
    _publish(tape, "five")
    tape.open("s", expiry_s=BIG)
    assert [
        ("s", "one", 1, 1, True),
        ("s", "PUBREL", 2, 2, False),
        ("s", "three", 2, 3, True),
        ("s", "four", 1, 4, True),
        ("s", "five", 1, 5, False),
    ] == tape.sent()
    assert {(tape.epochs["s"], 1, 1)} == {(send.conn_epoch, send.edge, send.conn_id) for send in tape.effects.sends}


def test_nothing_is_resent_on_a_live_connection() -> None:
    tape = _tape()
    _publish(tape, "m", qos=2)
    tape.pass_s(BIG)
    assert [] == tape.sent()


def test_publish_is_never_sent_again_after_pubrec() -> None:
    tape = _tape()
    _publish(tape, "m", qos=2)
    tape.pubrec("s", 1)
    for _ in range(3):
        tape.open("s", expiry_s=BIG)
        assert [("s", "PUBREL", 2, 1, False)] == tape.sent()


def test_smaller_window_after_reconnecting_is_obeyed_for_what_is_sent_again() -> None:
    tape = _tape(receive_maximum=4)
    _publish(tape, "a", "b", "c", "d", "e")
    tape.open("s", expiry_s=BIG, receive_maximum=2)
    assert [("s", "a", 1, 1, True), ("s", "b", 1, 2, True)] == tape.sent()
    tape.puback("s", 1)
    assert [("s", "c", 1, 3, True)] == tape.sent()
    tape.state = tape.restored()
    tape.puback("s", 4)  # acknowledged late, from before the reconnect: it frees nothing of this window
    assert [] == tape.sent()
    tape.puback("s", 2)
    assert [("s", "e", 1, 5, False)] == tape.sent()


def test_message_that_expired_in_the_queue_is_never_sent() -> None:
    tape = _tape()
    tape.cut("s")
    tape.publish("p", "t", b"short", expiry_s=5)
    tape.publish("p", "t", b"long", expiry_s=6)
    tape.pass_s(5)
    assert 2 == tape.state.counts()["queued_messages"]
    tape.open("s", expiry_s=BIG)
    assert [("s", "long", 1, 1, False)] == tape.sent()
    assert 1 == tape.count("expired")


@pytest.mark.parametrize("qos", [1, 2])
def test_message_in_flight_does_not_expire(qos: int) -> None:
    tape = _tape()
    tape.publish("p", "t", b"m", qos=qos, expiry_s=1)
    tape.pass_s(10)
    tape.open("s", expiry_s=BIG)
    assert [("s", "m", qos, 1, True)] == tape.sent()
    assert tape.now_ms == tape.effects.sends[0].stamp_ms  # type: ignore[union-attr]


def test_qos_0_to_a_replicated_session_is_sent_and_forgotten() -> None:
    tape = _tape()
    tape.subscribe("s", Subscription("t", 0))
    _publish(tape, "m")
    assert [("s", "m", 0, 0, False)] == tape.sent()
    assert 1 == tape.count("delivered")
    tape.cut("s")
    _publish(tape, "n")
    assert [] == tape.sent()
    assert 1 == tape.count("dropped", "qos0_offline")


@pytest.mark.parametrize("is_connected", [True, False])
def test_queue_messages_max_drops_the_new_one_and_counts_it(is_connected: bool) -> None:
    tape = _tape(receive_maximum=1, policy=SetPolicy(10, 10, 2, 10_000, 10, 10_000))
    if not is_connected:
        tape.cut("s")
    _publish(tape, "a", "b", "c")
    assert 1 == tape.count("dropped", "queue_messages_max")
    assert 2 == tape.state.session_view("s")["inflight_messages"] + tape.state.session_view("s")["queued_messages"]  # type: ignore[operator]
    if is_connected:
        tape.puback("s", 1)
        _publish(tape, "d")
        assert 1 == tape.count("dropped", "queue_messages_max")


def test_queue_bytes_max_counts_payload_and_topic() -> None:
    tape = _tape(policy=SetPolicy(10, 10, 100, 20, 10, 10_000))
    _publish(tape, "123456789")  # 9 + 1
    _publish(tape, "1234567890")  # 10 + 1: one too many
    assert 1 == tape.count("dropped", "queue_bytes_max")
    _publish(tape, "123456789")
    assert {"queued_bytes": 20}.items() <= tape.state.counts().items()
    tape.puback("s", 1)
    _publish(tape, "123456789")
    assert 1 == tape.count("dropped", "queue_bytes_max")


def test_delivery_the_edge_cannot_send_is_let_go_with_its_cause() -> None:
    tape = _tape(receive_maximum=1)
    _publish(tape, "huge", "small")
    assert 0 == tape.one(DropDelivery("s", tape.epochs["s"], 1, CLIENT_PACKET_TOO_LARGE.number))
    assert [("s", "small", 1, 2, False)] == tape.sent()
    assert 1 == tape.count("dropped", "client_packet_too_large")
    assert 0x92 == tape.one(DropDelivery("s", tape.epochs["s"], 1, CLIENT_PACKET_TOO_LARGE.number))


# Received QoS 2.


def test_publish_received_again_before_pubrel_is_not_published_again() -> None:
    tape = _tape()
    tape.open("q", expiry_s=BIG)
    assert 0 == tape.publish("q", "t", b"once", qos=2, packet_id=7)
    tape.open("q", expiry_s=BIG)
    tape.state = tape.restored()
    assert 0 == tape.publish("q", "t", b"once", qos=2, packet_id=7)
    assert [] == tape.sent()
    assert (1, 1) == (tape.count("accepted"), tape.count("duplicates"))


def test_packet_id_is_free_after_pubrel() -> None:
    tape = _tape()
    tape.open("q", expiry_s=BIG)
    tape.publish("q", "t", b"one", qos=2, packet_id=7)
    assert 0 == tape.release("q", 7)
    assert 0x92 == tape.release("q", 7)
    tape.publish("q", "t", b"two", qos=2, packet_id=7)
    assert [("s", "two", 2, 2, False)] == tape.sent()


def test_received_packet_ids_do_not_outlive_the_session() -> None:
    tape = _tape()
    tape.open("q", expiry_s=BIG)
    tape.publish("q", "t", b"one", qos=2, packet_id=7)
    tape.open("q", expiry_s=BIG, clean_start=True)
    tape.publish("q", "t", b"two", qos=2, packet_id=7)
    assert [("s", "two", 2, 2, False)] == tape.sent()


def test_refused_qos_2_message_leaves_its_packet_id_unknown() -> None:
    tape = Tape(SetPolicy(10, 10, 10, 1000, 0, 1000))
    tape.open("q", expiry_s=BIG)
    refused = tape.publish("q", "t", qos=2, packet_id=7, retain=True)
    assert "retained_messages_max" == tape.refused_by(refused)
    assert 0x92 == tape.release("q", 7)
    assert 1 == tape.count("refused", "retained_messages_max")
