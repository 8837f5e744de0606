"""Doctored histories of packets that a client could not expect: name → law, script."""

READY = "s connect\n s< connack\n s subscribe t/# 2\n s< suback 2\n p connect\n p< connack\n"
HOLDING = "plan s holds receive=2\n" + READY

FLOWS = {
    # -- sending again: M2 ------------------------------------------------------------------------------------------
    "sent again on a live connection": (
        "M2",
        HOLDING + "p publish t/1 1 a\n p< puback a\n s< publish t/1 1 a id=1\n ! s< publish t/1 1 a id=1 dup\n s acks",
    ),
    "QoS 2 sent again on a live connection": (
        "M2",
        HOLDING
        + "p publish t/1 2 a\n p< pubrec a\n p< pubcomp a\n s< publish t/1 2 a id=1\n"
        + "! s< publish t/1 2 a id=1 dup\n s acks\n s< pubrel 1\n s acks",
    ),
    "DUP on a session that is new": (
        "M2",
        READY + "p publish t/1 1 a\n p< puback a\n ! s< publish t/1 1 a id=1 dup\n = s< publish t/1 1 a id=1",
    ),
    "sent again with another Packet Identifier": (
        "M2",
        HOLDING
        + "p publish t/1 1 a\n p< puback a\n s< publish t/1 1 a id=1\n s drop\n s connect\n s< connack present\n"
        + "! s< publish t/1 1 a id=2 dup\n = s< publish t/1 1 a id=1 dup\n s acks",
    ),
    "sent again in another order": (
        "ORDER",
        HOLDING
        + "p publish t/1 1 a\n p< puback a\n p publish t/1 1 b\n p< puback b\n s< publish t/1 1 a id=1\n"
        + "s< publish t/1 1 b id=2\n s drop\n s connect\n s< connack present\n ! s< publish t/1 1 b id=2 dup\n"
        + "s< publish t/1 1 a id=1 dup\n = s< publish t/1 1 b id=2 dup\n s acks",
    ),
    # -- the states of QoS 2: M3 ------------------------------------------------------------------------------------
    "PUBREL before PUBREC": (
        "M3",
        HOLDING
        + "p publish t/1 2 a\n p< pubrec a\n p< pubcomp a\n s< publish t/1 2 a id=1\n = s acks\n"
        + "s< pubrel 1\n s acks",
    ),
    "a Packet Identifier used again before PUBCOMP": (
        "M3",
        READY
        + """p publish t/1 2 a
        p publish t/1 2 b
        s< publish t/1 2 a id=1
        s drop
        s connect
        s< connack present
        = s< pubrel 1
        s< publish t/1 2 b id=1
        s< pubrel 1
        """,
    ),
    "an exchange never finished": (
        "L2",
        READY
        + "p publish t/1 2 a\n s< publish t/1 2 a id=1\n s drop\n s connect\n s< connack present\n"
        + "= s< pubrel 1\n world settled s",
    ),
    # -- Packet Identifiers and limits: M14 ---------------------------------------------------------------------------
    "PUBREL for nothing": (
        "M14",
        READY + "p publish t/1 2 a\n s< publish t/1 2 a id=1\n s< pubrel 1\n ! s< pubrel 2",
    ),
    "one Packet Identifier for two messages": (
        "M14",
        HOLDING
        + "p publish t/1 1 a\n p publish t/1 1 b\n s< publish t/1 1 a id=1\n ! s< publish t/1 1 b id=1\n"
        + "= s< publish t/1 1 b id=2\n s acks",
    ),
    "Receive Maximum exceeded": (
        "M14",
        HOLDING
        + "p publish t/1 1 a\n p publish t/1 1 b\n p publish t/1 1 c\n s< publish t/1 1 a id=1\n"
        + "s< publish t/1 1 b id=2\n = s acks\n s< publish t/1 1 c id=3\n s acks",
    ),
    "Receive Maximum exceeded by messages that wait for PUBREL": (
        "M14",
        "plan s receive=1\n"
        + READY
        + "p publish t/1 2 a\n p publish t/1 2 b\n s< publish t/1 2 a id=1\n = s< pubrel 1\n"
        + "s< publish t/1 2 b id=2\n s< pubrel 2\n ! s< pubrel 1",
    ),
    "Maximum Packet Size exceeded": (
        "M14",
        "plan s bytes=100\n" + READY + "p publish t/1 1 a big\n p< puback a\n ! s< publish t/1 1 a big id=1",
    ),
    "a Topic Alias beyond the maximum": (
        "M14",
        "plan s alias=1\n" + READY + "p publish t/1 0 a\n ! s< publish t/1 0 a alias=2\n = s< publish t/1 0 a alias=1",
    ),
    "a Topic Alias without a topic": (
        "M14",
        "plan s alias=2\n"
        + READY
        + "p publish t/1 0 a\n p publish t/1 0 b\n s< publish t/1 0 a alias=1\n ! s< publish . 0 b alias=2\n"
        + "= s< publish . 0 b alias=1",
    ),
    "a Topic Alias of the connection before": (
        "M14",
        "plan s alias=2\n"
        + READY
        + "p publish t/1 0 a\n p publish t/1 0 b\n s< publish t/1 0 a alias=1\n s drop\n s connect\n s< connack present\n"
        + "! s< publish . 0 b alias=1\n = s< publish t/1 0 b alias=1",
    ),
    "PUBACK twice": ("M14", READY + "p publish x/1 1 a\n p< puback a\n ! p< puback a"),
    "PUBACK for QoS 2": ("M14", READY + "p publish x/1 2 a\n ! p< puback a\n p< pubrec a\n p< pubcomp a"),
    "PUBREC for QoS 1": ("M14", READY + "p publish x/1 1 a\n ! p< pubrec a\n p< puback a"),
    "PUBCOMP before PUBREC": ("M14", READY + "p publish x/1 2 a\n ! p< pubcomp a\n p< pubrec a\n p< pubcomp a"),
    "PUBCOMP twice": ("M14", READY + "p publish x/1 2 a\n p< pubrec a\n p< pubcomp a\n ! p< pubcomp a"),
    "SUBACK for nothing": ("M14", READY + "! s< stray-suback"),
    # -- bytes: M19 -------------------------------------------------------------------------------------------------
    "bytes that are no packet": ("M19", READY + "! s< bytes 0000"),
    "a PUBLISH with QoS 3": ("M19", READY + "! s< bytes 360400017400"),
    "a packet before CONNACK": ("MQTT-3.2.0-1", "s connect\n ! s< bytes d000\n s< connack"),
}
