"""Doctored histories of what was delivered, to whom, how often, in which order and with what: name → law, script."""

# s subscribes to t/# with QoS 2 and p is there; what follows differs.
BOTH = """
    s connect
    s< connack
    s subscribe t/# 2
    s< suback 2
    p connect
    p< connack
"""

DELIVERIES = {
    # -- nothing acknowledged is lost: M1 ---------------------------------------------------------------------------
    "QoS 1 acknowledged and never delivered": (
        "ACK",
        BOTH + "p publish t/1 1 a\n p< puback a\n = s< publish t/1 1 a id=1",
    ),
    "QoS 2 acknowledged by PUBREC and never delivered": (
        "ACK",
        BOTH + "p publish t/1 2 a\n p< pubrec a\n p< pubcomp a\n = s< publish t/1 2 a id=1\n = s< pubrel 1",
    ),
    "QoS 1 lost while the subscriber was away": (
        "ACK",
        BOTH
        + """s drop
        p publish t/1 1 a
        p< puback a
        s connect
        s< connack present
        = s< publish t/1 1 a id=1
        """,
    ),
    "one of two subscribers left out": (
        "ACK",
        BOTH
        + """q connect
        q< connack
        q subscribe t/+ 1
        q< suback 1
        p publish t/1 1 a
        s< publish t/1 1 a id=1
        p< puback a
        = q< publish t/1 1 a id=1
        """,
    ),
    "publisher's own subscription left out": (
        "ACK",
        "p connect\n p< connack\n p subscribe t/1 1\n p< suback 1\n p publish t/1 1 a\n p< puback a\n"
        " = p< publish t/1 1 a id=1",
    ),
    "one of two overlapping filters taken back, and the other forgotten": (
        "ACK",
        BOTH
        + """s subscribe t/1 1
        s< suback 1
        s unsubscribe t/1
        s< unsuback
        p publish t/1 1 a
        p< puback a
        = s< publish t/1 1 a id=1
        """,
    ),
    "QoS 2 message lost to a subscription of QoS 1": (
        "ACK",
        "s connect\n s< connack\n s subscribe # 1\n s< suback 1\n p connect\n p< connack\n"
        "p publish t/1 2 a\n p< pubrec a\n p< pubcomp a\n = s< publish t/1 1 a id=1",
    ),
    "second of two messages lost": (
        "ACK",
        BOTH
        + "p publish t/1 1 a\n p< puback a\n p publish t/1 1 b\n p< puback b\n s< publish t/1 1 a id=1\n"
        + "= s< publish t/1 1 b id=2",
    ),
    "message with properties lost": (
        "ACK",
        BOTH + "p publish t/1 1 a properties\n p< puback a\n = s< publish t/1 1 a id=1 properties",
    ),
    "resent message lost": (
        "ACK",
        BOTH + "p publish t/1 1 a\n p drop\n p connect\n p< connack present\n p< puback a\n = s< publish t/1 1 a id=1",
    ),
    "live message lost although it is retained": (
        "ACK",
        BOTH + "p publish t/1 1 a retain\n p< puback a\n = s< publish t/1 1 a id=1",
    ),
    "told that nobody subscribes": ("M1", BOTH + "p publish t/1 1 a\n s< publish t/1 1 a id=1\n ! p< puback a code=10"),
    "QoS 0 lost although another publisher's connection ended": (
        "L2",
        BOTH + "q connect\n q< connack\n p probe\n q drop\n = s< publish t/1 0 p:1:probe",
    ),
    "QoS 0 lost when nothing was wrong": ("L2", BOTH + "p probe\n = s< publish t/1 0 p:1:probe"),
    "QoS 0 lost by one of two": (
        "L2",
        BOTH
        + "q connect\n q< connack\n q subscribe t/1 0\n q< suback 0\n p probe\n s< publish t/1 0 p:1:probe\n"
        + "= q< publish t/1 0 p:1:probe",
    ),
    # -- exactly once, at most once: ONCE, M2, M5 -------------------------------------------------------------------
    "QoS 2 delivered again after its end": (
        "ONCE",
        BOTH
        + """p publish t/1 2 a
        p< pubrec a
        p< pubcomp a
        s< publish t/1 2 a id=1
        s< pubrel 1
        ! s< publish t/1 2 a id=2
        """,
    ),
    "QoS 2 delivered again to a resumed session": (
        "ONCE",
        BOTH
        + """p publish t/1 2 a
        p< pubrec a
        s< publish t/1 2 a id=1
        s drop
        s connect
        s< connack present
        ! s< publish t/1 2 a id=2 dup
        = s< publish t/1 2 a id=1 dup
        s< pubrel 1
        p< pubcomp a
        """,
    ),
    "QoS 2 delivered twice because its publisher sent it twice": (
        "ONCE",
        BOTH
        + """p publish t/1 2 a
        s< publish t/1 2 a id=1
        s< pubrel 1
        p drop
        p connect
        p< connack present
        p< pubrec a
        p< pubcomp a
        ! s< publish t/1 2 a id=2
        """,
    ),
    "QoS 1 delivered again without DUP": (
        "M2",
        BOTH
        + """p publish t/1 1 a
        p< puback a
        s< publish t/1 1 a id=1
        s drop
        s connect
        s< connack present
        ! s< publish t/1 1 a id=1
        = s< publish t/1 1 a id=1 dup
        """,
    ),
    "QoS 1 of a resent publication delivered three times": (
        "M2",
        BOTH
        + """p publish t/1 1 a
        s< publish t/1 1 a id=1
        p drop
        p connect
        p< connack present
        p< puback a
        s< publish t/1 1 a id=2
        ! s< publish t/1 1 a id=3
        """,
    ),
    "QoS 0 delivered twice": ("M5", BOTH + "p publish t/1 0 a\n s< publish t/1 0 a\n ! s< publish t/1 0 a"),
    "QoS 1 delivered twice to a subscription of QoS 0": (
        "M5",
        "s connect\n s< connack\n s subscribe t/1 0\n s< suback 0\n p connect\n p< connack\n"
        "p publish t/1 1 a\n p< puback a\n s< publish t/1 0 a\n ! s< publish t/1 0 a",
    ),
    # -- nothing is invented or altered: M4, CAUSE ------------------------------------------------------------------
    "a payload that nobody sent": ("M4", BOTH + "! s< publish t/1 0 phantom"),
    "a message on another topic": (
        "M4",
        BOTH + "p publish t/1 0 a\n ! s< publish t/2 0 a\n = s< publish t/1 0 a",
    ),
    "properties lost": (
        "M4",
        BOTH + "p publish t/1 0 a properties\n ! s< publish t/1 0 a\n = s< publish t/1 0 a properties",
    ),
    "properties altered": (
        "M4",
        BOTH + "p publish t/1 0 a properties\n ! s< publish t/1 0 a others\n = s< publish t/1 0 a properties",
    ),
    "properties invented": ("M4", BOTH + "p publish t/1 0 a\n ! s< publish t/1 0 a others\n = s< publish t/1 0 a"),
    "a payload cut short": (
        "M4",
        BOTH + "p publish t/1 0 a:long:one\n ! s< publish t/1 0 a:long\n = s< publish t/1 0 a:long:one",
    ),
    "a refused publication delivered": (
        "CAUSE",
        BOTH + "p publish t/1 1 a\n p< puback a code=97\n ! s< publish t/1 1 a id=1",
    ),
    "a refused QoS 2 publication delivered": (
        "CAUSE",
        BOTH + "p publish t/1 2 a\n p< pubrec a code=87\n ! s< publish t/1 2 a id=1\n ! s< pubrel 1",
    ),
    # -- order: M6 --------------------------------------------------------------------------------------------------
    "QoS 1 out of order": (
        "ORDER",
        BOTH
        + """p publish t/1 1 a
        p publish t/1 1 b
        ! s< publish t/1 1 b id=1
        ! s< publish t/1 1 a id=2
        = s< publish t/1 1 a id=1
        = s< publish t/1 1 b id=2
        """,
    ),
    "QoS 2 out of order": (
        "ORDER",
        BOTH
        + """p publish t/1 2 a
        p publish t/1 2 b
        ! s< publish t/1 2 b id=1
        ! s< publish t/1 2 a id=2
        = s< publish t/1 2 a id=1
        = s< publish t/1 2 b id=2
        s< pubrel 1
        s< pubrel 2
        """,
    ),
    "QoS 0 out of order": (
        "ORDER",
        BOTH
        + """p publish t/1 0 a
        p publish t/1 0 b
        ! s< publish t/1 0 b
        s< publish t/1 0 a
        = s< publish t/1 0 b
        """,
    ),
    "out of order across connections of the publisher": (
        "ORDER",
        BOTH
        + """p publish t/1 1 a
        p< puback a
        p drop
        p connect
        p< connack present
        p publish t/1 1 b
        p< puback b
        ! s< publish t/1 1 b id=1
        s< publish t/1 1 a id=2
        = s< publish t/1 1 b id=1
        """,
    ),
    "out of order in a queue of a resumed session": (
        "ORDER",
        BOTH
        + """s drop
        p publish t/1 2 a
        p publish t/1 2 b
        s connect
        s< connack present
        ! s< publish t/1 2 b id=1
        ! s< publish t/1 2 a id=2
        = s< publish t/1 2 a id=1
        = s< publish t/1 2 b id=2
        s< pubrel 1
        s< pubrel 2
        """,
    ),
    "resent QoS 1 message of its own first delivered behind its successor": (
        "ORDER",
        "p connect\n p< connack\n p subscribe t/# 1\n p< suback 1\n p publish t/1 1 a\n p publish t/1 1 b\n"
        "! p< publish t/1 1 b id=1\n = p< publish t/1 1 a id=1\n p drop\n p connect\n p< connack present\n"
        "! p< publish t/1 1 a id=2\n = p< publish t/1 1 b id=2",
    ),
    "resent QoS 1 message first delivered behind its successor": (
        "ORDER",
        BOTH
        + """p publish t/1 1 a
        p publish t/1 1 b
        p drop
        p connect
        p< connack present
        ! s< publish t/1 1 b id=1
        s< publish t/1 1 a id=2
        = s< publish t/1 1 b id=1
        """,
    ),
    # -- QoS and Subscription Options: M7 -----------------------------------------------------------------------------
    "QoS above what was granted": (
        "M7",
        "s connect\n s< connack\n s subscribe t/1 0\n s< suback 0\n p connect\n p< connack\n"
        "p publish t/1 1 a\n ! s< publish t/1 1 a id=1\n = s< publish t/1 0 a",
    ),
    "QoS above that of the message": (
        "M7",
        BOTH + "p publish t/1 0 a\n ! s< publish t/1 1 a id=1\n = s< publish t/1 0 a",
    ),
    "QoS below what was granted": (
        "M7",
        BOTH + "p publish t/1 1 a\n p< puback a\n ! s< publish t/1 0 a\n = s< publish t/1 1 a id=1",
    ),
    "the lesser of two overlapping subscriptions": (
        "M7",
        BOTH
        + """s subscribe t/1 0
        s< suback 0
        p publish t/1 2 a
        ! s< publish t/1 0 a
        = s< publish t/1 2 a id=1
        = s< pubrel 1
        """,
    ),
    "SUBACK grants more than was asked for": (
        "M7",
        "s connect\n s< connack\n s subscribe t/1 0\n ! s< suback 1\n = s< suback 0",
    ),
    "No Local forgotten": (
        "M7",
        "p connect\n p< connack\n p subscribe t/1 1 nl\n p< suback 1\n p publish t/1 1 a\n p< puback a\n"
        "! p< publish t/1 1 a id=1",
    ),
    "RETAIN on a message that has none": (
        "M7",
        BOTH + "p publish t/1 0 a\n ! s< publish t/1 0 a retain\n = s< publish t/1 0 a",
    ),
    "RETAIN lost in spite of Retain As Published": (
        "M7",
        "s connect\n s< connack\n s subscribe t/1 1 rap\n s< suback 1\n p connect\n p< connack\n"
        "p publish t/1 1 a retain\n ! s< publish t/1 1 a id=1\n = s< publish t/1 1 a id=1 retain",
    ),
    "Subscription Identifier lost": (
        "M7",
        "s connect\n s< connack\n s subscribe t/1 1 id=7\n s< suback 1\n p connect\n p< connack\n"
        "p publish t/1 0 a\n ! s< publish t/1 0 a\n = s< publish t/1 0 a subs=7",
    ),
    "a Subscription Identifier of nobody": (
        "M7",
        "s connect\n s< connack\n s subscribe t/1 1 id=7\n s< suback 1\n p connect\n p< connack\n"
        "p publish t/1 0 a\n ! s< publish t/1 0 a subs=7,8\n = s< publish t/1 0 a subs=7",
    ),
    "one of two Subscription Identifiers": (
        "M7",
        "s connect\n s< connack\n s subscribe t/1 1 id=7\n s< suback 1\n s subscribe t/# 1 id=8\n s< suback 1\n"
        "p connect\n p< connack\n p publish t/1 0 a\n ! s< publish t/1 0 a subs=8\n = s< publish t/1 0 a subs=7,8",
    ),
    # -- expiry: M12 ------------------------------------------------------------------------------------------------
    "an expired message": (
        "M12",
        BOTH
        + """s drop
        p publish t/1 1 a expiry=2
        p< puback a
        ! wait 9000
        = wait 1000
        s connect
        s< connack present
        ! s< publish t/1 1 a id=1 expiry=1
        = s< publish t/1 1 a id=1 expiry=1
        """,
    ),
    "an expiry that does not count down": (
        "M12",
        BOTH
        + """s drop
        p publish t/1 1 a expiry=20
        p< puback a
        wait 9000
        s connect
        s< connack present
        ! s< publish t/1 1 a id=1 expiry=20
        = s< publish t/1 1 a id=1 expiry=11
        """,
    ),
    "an expiry that grew": (
        "M12",
        BOTH + "p publish t/1 0 a expiry=20\n ! s< publish t/1 0 a expiry=30\n = s< publish t/1 0 a expiry=20",
    ),
    "an expiry that counts down too fast": (
        "M12",
        BOTH + "p publish t/1 0 a expiry=20\n ! s< publish t/1 0 a expiry=2\n = s< publish t/1 0 a expiry=19",
    ),
    # -- subscriptions begin and end: M17 -----------------------------------------------------------------------------
    "a match after UNSUBACK": (
        "M17",
        BOTH + "s unsubscribe t/#\n s< unsuback\n p publish t/1 0 a\n ! s< publish t/1 0 a",
    ),
    "a message without any subscription": (
        "M17",
        "s connect\n s< connack\n p connect\n p< connack\n p publish t/1 0 a\n ! s< publish t/1 0 a",
    ),
    "a filter that does not match": (
        "M17",
        "s connect\n s< connack\n s subscribe t/+/x 1\n s< suback 1\n p connect\n p< connack\n"
        "p publish t/1 0 a\n ! s< publish t/1 0 a",
    ),
    "a wildcard that matches a topic with $": (
        "M17",
        "s connect\n s< connack\n s subscribe # 1\n s< suback 1\n p connect\n p< connack\n"
        "p publish $x/1 0 a\n ! s< publish $x/1 0 a",
    ),
    "a + that matches two levels": (
        "M17",
        "s connect\n s< connack\n s subscribe t/+ 1\n s< suback 1\n p connect\n p< connack\n"
        "p publish t/1/2 0 a\n ! s< publish t/1/2 0 a",
    ),
    "a refused subscription that delivers": (
        "M17",
        "s connect\n s< connack\n s subscribe t/1 1\n s< suback 87\n p connect\n p< connack\n"
        "p publish t/1 0 a\n ! s< publish t/1 0 a",
    ),
    "a subscription of the session before": (
        "M17",
        BOTH + "s drop\n s connect clean\n s< connack\n p publish t/1 0 a\n ! s< publish t/1 0 a",
    ),
    # -- one owner: M10 ---------------------------------------------------------------------------------------------
    "a packet of a connection that was taken over": (
        "M10",
        BOTH + "p connect\n p< connack present\n p stale\n ! s< publish t/1 1 p:1:stale id=1",
    ),
}
