"""Goal: what is encoded decodes to itself, for every packet and version. Method: packets drawn from the tables."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.packets import (
    V5,
    V31,
    V311,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from quantum.core.mqtt.properties import Properties, encode_forwarded, may_stand_in
from quantum.core.mqtt.reason_codes import all_reason_codes, may_carry

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00+#"), min_size=1, max_size=12)
FILTERS = st.builds(lambda name, tail: name + tail, NAMES, st.sampled_from(["", "/+", "/#"])).filter(
    lambda text: not text.startswith("$share")
)
BYTES = st.binary(max_size=12)
IDS = st.integers(1, 65_535)
U32 = st.integers(0, 0xFFFFFFFF)
FLAG = st.integers(0, 1)
VALUES: dict[int, st.SearchStrategy[object]] = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), FLAG),
    **dict.fromkeys((0x03, 0x12, 0x15, 0x1A, 0x1C, 0x1F), TEXT),
    **dict.fromkeys((0x09, 0x16), BYTES),
    **dict.fromkeys((0x13, 0x22), st.integers(0, 65_535)),
    **dict.fromkeys((0x02, 0x11, 0x18), U32),
    0x08: NAMES,
    0x0B: st.lists(st.integers(1, 268_435_455), min_size=1, max_size=1),
    0x21: IDS,
    0x23: IDS,
    0x26: st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3),
    0x27: st.integers(1, 0xFFFFFFFF),
}
FORWARDED = st.fixed_dictionaries(
    {}, optional={number: VALUES[number] for number in (0x26, 0x01, 0x09, 0x03, 0x08)}
).map(encode_forwarded)  # type: ignore[arg-type]


def properties_of(version: int, packet_type: int) -> st.SearchStrategy[Properties]:
    """Any properties the packet may hold; none in 3.x."""
    if version < V5:
        return st.just({})
    allowed = {number: value for number, value in VALUES.items() if may_stand_in(number, packet_type)}
    if packet_type in (1, 2, 15):
        del allowed[0x16]  # Authentication Data asks for a method.
    return st.fixed_dictionaries({}, optional=allowed)  # type: ignore[arg-type]


def codes_of(version: int, packet_type: int) -> st.SearchStrategy[int]:
    """Any reason code the packet may hold."""
    if version < V5:
        return st.sampled_from([0, 1, 2, 0x80]) if packet_type == 9 else st.just(0)
    return st.sampled_from([code for code in all_reason_codes() if may_carry(packet_type, code)])


@st.composite
def publishes(draw: st.DrawFn, version: int) -> Publish:
    """Any PUBLISH."""
    qos = draw(st.integers(0, 2))
    new = version == V5
    return Publish(
        draw(NAMES),
        draw(BYTES),
        qos,
        draw(st.booleans()),
        qos > 0 and draw(st.booleans()),
        draw(IDS) if qos else 0,
        draw(FORWARDED) if new else b"",
        draw(st.integers(-1, 0xFFFFFFFF)) if new else -1,
        draw(st.integers(0, 65_535)) if new else 0,
        tuple(draw(st.lists(st.integers(1, 268_435_455), max_size=3))) if new else (),
    )


@st.composite
def connects(draw: st.DrawFn, version: int) -> Connect:
    """Any CONNECT; in 3.x a password comes with a user name."""
    will = None
    new = version == V5
    if draw(st.booleans()):
        will = Will(draw(NAMES), draw(BYTES), draw(st.integers(0, 2)), draw(st.booleans()))
        if new:
            will.properties = draw(FORWARDED)
            will.delay_s = draw(U32)
            will.message_expiry_s = draw(st.integers(-1, 0xFFFFFFFF))
    username = draw(st.none() | TEXT)
    password = draw(st.none() | BYTES) if new or username is not None else None
    properties = draw(properties_of(version, 1))
    clean = draw(st.booleans())
    return Connect(version, draw(TEXT), clean, draw(st.integers(0, 65_535)), username, password, will, properties)


def packets(version: int) -> st.SearchStrategy[Packet]:
    """Any packet of a version that is more than its type."""
    subscription = st.builds(
        Subscription,
        FILTERS,
        st.integers(0, 2),
        *([st.booleans(), st.booleans(), st.integers(0, 2)] if version == V5 else []),
    )
    kinds: list[st.SearchStrategy[Packet]] = [
        connects(version),
        publishes(version),
        st.builds(Connack, st.just(False), codes_of(version, 2), properties_of(version, 2)),
        st.builds(Subscribe, IDS, st.lists(subscription, min_size=1, max_size=3), properties_of(version, 8)),
        st.builds(Suback, IDS, st.lists(codes_of(version, 9), min_size=1, max_size=3), properties_of(version, 9)),
        st.builds(Unsubscribe, IDS, st.lists(FILTERS, min_size=1, max_size=3), properties_of(version, 10)),
        st.builds(Disconnect, codes_of(version, 14), properties_of(version, 14)),
    ]
    for packet_type, kind in ((4, Puback), (5, Pubrec), (6, Pubrel), (7, Pubcomp)):
        kinds.append(st.builds(kind, IDS, codes_of(version, packet_type), properties_of(version, packet_type)))
    if version == V5:
        unsuback_codes = st.lists(codes_of(version, 11), min_size=1, max_size=3)
        kinds.append(st.builds(Unsuback, IDS, unsuback_codes, properties_of(version, 11)))
        kinds.append(st.builds(Auth, codes_of(version, 15), properties_of(version, 15)))
    return st.one_of(kinds)


@given(st.sampled_from([V31, V311, V5]).flatmap(lambda version: st.tuples(st.just(version), packets(version))))
def test_packet_comes_back_as_it_was(drawn: tuple[int, Packet]) -> None:
    version, packet = drawn
    ((first, body),) = Framer(PACKET_BYTES_LIMIT).feed(encode_packet(version, packet))
    assert packet == decode_packet(version, first, body)


@given(st.lists(publishes(V5), min_size=1, max_size=4), st.lists(st.integers(0, 200), max_size=5))
def test_any_cut_of_a_stream_gives_the_same_packets(sent: list[Publish], cuts: list[int]) -> None:
    stream = b"".join(encode_packet(V5, packet) for packet in sent)
    framer = Framer(PACKET_BYTES_LIMIT)
    edges = [0, *sorted(cuts), len(stream)]
    frames = [frame for begin, end in pairwise(edges) for frame in framer.feed(stream[begin:end])]
    assert sent == [decode_packet(V5, first, body) for first, body in frames]
