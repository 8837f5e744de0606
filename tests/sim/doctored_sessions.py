"""Doctored histories of sessions, wills, retained messages and shared subscriptions: name → law, script."""

WATCHED = "m connect\n m< connack\n m subscribe # 1\n m< suback 1\n"
WRITER = "p connect\n p< connack\n"
READER = "r connect\n r reads\n r< connack\n r subscribe r/# 1\n r< suback 1\n"
GROUP = """
    plan a group=g
    plan b group=g
    a connect
    a< connack
    a subscribe $share/g/t/# 2
    a< suback 2
    b connect
    b< connack
    b subscribe $share/g/t/# 2
    b< suback 2
    p connect
    p< connack
"""
# The session of one member ended with its connection, as its client sees it.
UNNOTICED = "plan a v311\n" + GROUP.replace("a connect", "a connect clean") + "a drop\n"
WILL = "plan s will\n" + WATCHED + "s connect\n s< connack\n"
DELAYED = "plan s will delay=30\n" + WATCHED + "s connect\n s< connack\n"
# Two connections with a will that is retained, and somebody who found that of the second. Whether the first CONNECT was
# given up is told where {} stands: then it may be acted on at any time.
TWO_WILLS = (
    "plan s retained-will\n s connect\n {}\n s drop\n s connect\n s< connack present\n s drop\n"
    "m connect\n m< connack\n m subscribe will/# 1\n m< suback 1\n m< publish will/s 1 will:s:2 retain id=1\n"
    "n connect\n n< connack\n n subscribe will/# 1\n n< suback 1\n"
)
# Sent again to a session that may have been begun anew, with another writer in between.
RESENT_RETAINED = (
    "p connect clean\n p drop\n p connect clean\n p< connack\n p publish r/1 2 a retain\n q connect\n q< connack\n"
    "q publish r/1 1 b retain\n q< puback b\n p drop\n p connect\n p< connack present\n p< pubrec a\n p< pubcomp a\n"
)

SESSIONS = {
    # -- Session Present: M9, ACK -----------------------------------------------------------------------------------
    "present after a clean start": (
        "M9",
        "s connect\n s< connack\n s drop\n s connect clean\n ! s< connack present\n = s< connack",
    ),
    "present at the first connection": ("M9", "s connect\n ! s< connack present\n = s< connack"),
    "present after a session of one connection": (
        "M9",
        "plan s v311\n s connect clean\n s< connack\n s disconnect\n s connect\n ! s< connack present\n = s< connack",
    ),
    "a session that does not expire is gone": (
        "ACK",
        "s connect\n s< connack\n s drop\n s connect\n ! s< connack\n = s< connack present",
    ),
    "an abandoned clean start does not end the session for good": (
        "ACK",
        "s connect\n s< connack\n s drop\n s connect clean\n s drop\n s connect clean\n s< connack\n s drop\n s connect\n"
        "! s< connack\n = s< connack present",
    ),
    "a resumed session is gone the second time": (
        "ACK",
        "s connect\n s< connack\n s drop\n s connect\n s< connack present\n s drop\n s connect\n"
        "! s< connack\n = s< connack present",
    ),
    "a session gone before it expired": (
        "ACK",
        "plan s expiry=10\n s connect\n s< connack\n wait 5000\n s drop\n wait 3000\n s connect\n"
        "! s< connack\n = s< connack present",
    ),
    "present, and refused": ("M19", "s connect\n ! s< bytes 2003018700\n = s< connack code=87"),
    "an amnesiac session": (
        "ACK",
        "s connect\n s< connack\n s subscribe t/1 1\n s< suback 1\n p connect\n p< connack\n s drop\n s connect\n"
        "s< connack present\n p publish t/1 1 a\n p< puback a\n = s< publish t/1 1 a id=1",
    ),
    # -- wills: M11 -------------------------------------------------------------------------------------------------
    "a will that never comes": ("M11", WILL + "s drop\n world wills-due s\n = m< publish will/s 1 will:s:1 id=1"),
    "a will that never comes although DISCONNECT asks for it": (
        "M11",
        WILL + "s disconnect-with-will\n world wills-due s\n = m< publish will/s 1 will:s:1 id=1",
    ),
    "a will of the connection that was taken over never comes": (
        "M11",
        WILL + "s connect\n s< connack present\n world wills-due s\n = m< publish will/s 1 will:s:1 id=1",
    ),
    "a will that comes twice": (
        "M11",
        WILL + "s drop\n world wills-due s\n m< publish will/s 1 will:s:1 id=1\n ! m< publish will/s 1 will:s:1 id=2",
    ),
    "a will in spite of DISCONNECT": (
        "M11",
        WILL + "s disconnect\n world will-removed s\n ! m< publish will/s 1 will:s:1 id=1",
    ),
    "a will that came before its DISCONNECT was surely noted": (
        "M11",
        WILL + "s disconnect\n ! m< publish will/s 1 will:s:1 id=1\n world will-removed s",
    ),
    "a will of a connection that lives": (
        "M11",
        WILL
        + "! m< publish will/s 1 will:s:1 id=1\n s publish x/1 1 a\n s< puback a\n m< publish x/1 1 a id=2\n s drop\n"
        + "= m< publish will/s 1 will:s:1 id=1",
    ),
    "a will before its delay": (
        "M11",
        DELAYED + "s drop\n ! wait 5000\n = wait 31000\n m< publish will/s 1 will:s:1 id=1",
    ),
    "a will although the session went on": (
        "M11",
        DELAYED + "s drop\n wait 5000\n s connect\n s< connack present\n ! m< publish will/s 1 will:s:1 id=1",
    ),
    "a will on another topic": (
        "M4",
        WILL + "s drop\n ! m< publish will/t 1 will:s:1 id=1\n = m< publish will/s 1 will:s:1 id=1",
    ),
    "a will that a later connection's took the place of comes back": (
        "M8",
        TWO_WILLS.format("! s< connack") + "n< publish will/s 1 will:s:1 retain id=1",
    ),
    "the will of a CONNECT that was given up is gone again": (
        "M8",
        TWO_WILLS.format("")
        + "n< publish will/s 1 will:s:1 retain id=1\n o connect\n o< connack\n o subscribe will/# 1\n o< suback 1\n"
        + "! o< publish will/s 1 will:s:2 retain id=1\n = o< publish will/s 1 will:s:1 retain id=1",
    ),
    "a will with a higher QoS": (
        "M7",
        "plan s will\n m connect\n m< connack\n m subscribe # 2\n m< suback 2\n s connect\n s< connack\n s drop\n"
        "! m< publish will/s 2 will:s:1 id=1\n ! m< pubrel 1\n = m< publish will/s 1 will:s:1 id=1",
    ),
    "a will that nobody subscribed to": (
        "M17",
        "plan s will\n m connect\n m< connack\n s connect\n s< connack\n s drop\n ! m< publish will/s 1 will:s:1 id=1",
    ),
    # -- retained messages: M8 --------------------------------------------------------------------------------------
    "an old retained value": (
        "M8",
        WRITER
        + "p publish r/1 1 a retain\n p< puback a\n p publish r/1 1 b retain\n p< puback b\n"
        + READER
        + "! r< publish r/1 1 a id=1 retain\n = r< publish r/1 1 b id=1 retain",
    ),
    "a deleted retained value": (
        "M8",
        WRITER
        + "p publish r/1 1 a retain\n p< puback a\n p publish r/1 1 - retain\n p< puback -\n"
        + READER
        + "! r< publish r/1 1 a id=1 retain",
    ),
    "a retained value lost": (
        "M8",
        WRITER + "p publish r/1 1 a retain\n p< puback a\n" + READER + "= r< publish r/1 1 a id=1 retain",
    ),
    "a retained value lost to a session that lives on": (
        "M8",
        WRITER
        + "p publish r/1 1 a retain\n p< puback a\n s connect\n s< connack\n s subscribe r/1 1\n s< suback 1\n"
        + "= s< publish r/1 1 a id=1 retain",
    ),
    "readers who disagree about an open write": (
        "M8",
        WRITER
        + """p publish r/1 1 a retain
        p< puback a
        p publish r/1 1 b retain
        s connect
        s< connack
        s subscribe r/1 1
        s< suback 1
        s< publish r/1 1 b id=1 retain
        q connect
        q< connack
        q subscribe r/1 1
        q< suback 1
        ! q< publish r/1 1 a id=1 retain
        = q< publish r/1 1 b id=1 retain
        """,
    ),
    "a value that comes back": (
        "M8",
        WRITER
        + """q connect
        q< connack
        p publish r/1 1 a retain
        q publish r/1 1 b retain
        s connect
        s< connack
        s subscribe r/1 1
        s< suback 1
        s< publish r/1 1 a id=1 retain
        p< puback a
        w connect
        w< connack
        w subscribe r/1 1
        w< suback 1
        w< publish r/1 1 b id=1 retain
        ! o connect
        ! o< connack
        ! o subscribe r/1 1
        ! o< suback 1
        ! o< publish r/1 1 a id=1 retain
        """,
    ),
    "an old value for the second of two SUBSCRIBEs": (
        "M8",
        WRITER
        + """p publish r/1 1 a retain
        p< puback a
        s connect
        s< connack
        s subscribe r/1 1
        s< suback 1
        s< publish r/1 1 a id=1 retain
        p publish r/1 1 b retain
        p< puback b
        s< publish r/1 1 b id=2
        s subscribe r/1 1
        s< suback 1
        ! s< publish r/1 1 a id=3 retain
        = s< publish r/1 1 b id=3 retain
        """,
    ),
    "two acknowledged writers, and neither value": (
        "M8",
        WRITER
        + "q connect\n q< connack\n p publish r/1 1 a retain\n q publish r/1 1 b retain\n p< puback a\n q< puback b\n"
        + READER
        + "= r< publish r/1 1 a id=1 retain",
    ),
    "a value that was deleted by somebody else's open deletion, and came back": (
        "M8",
        WRITER
        + """p publish r/1 1 a retain
        p< puback a
        p publish r/1 1 - retain
        s connect
        s< connack
        s subscribe r/1 1
        s< suback 1
        = s< publish r/1 1 a id=1 retain
        """
        + READER
        + "r< publish r/1 1 a id=1 retain",
    ),
    "retained messages for Retain Handling 2": (
        "M8",
        WRITER
        + "p publish r/1 1 a retain\n p< puback a\n s connect\n s< connack\n s subscribe r/1 1 rh=2\n s< suback 1\n"
        + "! s< publish r/1 1 a id=1 retain",
    ),
    "retained messages for a subscription that stood, with Retain Handling 1": (
        "M8",
        WRITER
        + "s connect\n s< connack\n s subscribe r/1 1 rh=2\n s< suback 1\n p publish r/1 1 a retain\n p< puback a\n"
        + "s< publish r/1 1 a id=1\n s subscribe r/1 1 rh=1\n s< suback 1\n ! s< publish r/1 1 a id=2 retain",
    ),
    "retained messages for a subscription that stands in a session that surely began since": (
        "M8",
        "plan s expiry=3\n"
        + WRITER
        + "s connect\n s< connack\n s drop\n wait 9000\n s connect\n s drop\n s connect\n s< connack present\n s drop\n"
        + "wait 9000\n s connect\n s< connack\n s subscribe r/1 1 rh=2\n s< suback 1\n p publish r/1 1 a retain\n"
        + "p< puback a\n s< publish r/1 1 a id=1\n s subscribe r/1 1 rh=1\n s< suback 1\n"
        + "! s< publish r/1 1 a id=2 retain",
    ),
    "a retained value of QoS 2 lost, sent again to a session that may have been begun anew": (
        "M8",
        RESENT_RETAINED + READER + "= r< publish r/1 1 a id=1 retain",
    ),
    "one retained message twice": (
        "M8",
        WRITER
        + "p publish r/1 1 a retain\n p< puback a\n s connect\n s< connack\n s subscribe r/1 1\n s< suback 1\n"
        + "s< publish r/1 1 a id=1 retain\n ! s< publish r/1 1 a id=2 retain",
    ),
    "retained messages for a shared subscription": (
        "M8",
        WRITER
        + "p publish t/1 1 a retain\n p< puback a\n plan a group=g\n a connect\n a< connack\n"
        + "a subscribe $share/g/t/# 1\n a< suback 1\n ! a< publish t/1 1 a id=1 retain",
    ),
    "a retained message with a QoS above the subscription's": (
        "M7",
        WRITER
        + "p publish r/1 2 a retain\n p< pubrec a\n p< pubcomp a\n s connect\n s< connack\n s subscribe r/1 1\n s< suback 1\n"
        + "! s< publish r/1 2 a id=1 retain\n ! s< pubrel 1\n = s< publish r/1 1 a id=1 retain",
    ),
    "a refused retained publication": (
        "CAUSE",
        WRITER + "p publish r/1 1 a retain\n p< puback a code=97\n" + READER + "! r< publish r/1 1 a id=1 retain",
    ),
    # -- shared subscriptions: M13 ----------------------------------------------------------------------------------
    "two members of a group": (
        "M13",
        GROUP + "p publish t/1 1 x\n p< puback x\n a< publish t/1 1 x id=1\n ! b< publish t/1 1 x id=1",
    ),
    "no member of a group": ("M13", GROUP + "p publish t/1 1 x\n p< puback x\n = b< publish t/1 1 x id=1"),
    "lost with the session it was given to": (
        "M13",
        GROUP + "p publish t/1 1 x\n p< puback x\n a drop\n a connect clean\n a< connack\n = b< publish t/1 1 x id=1",
    ),
    "lost with a session that ends with its connection": (
        "M13",
        "plan a ephemeral\n" + GROUP + "p publish t/1 1 x\n p< puback x\n a drop\n = b< publish t/1 1 x id=1",
    ),
    "two members of a group, though the session of the first one stands": (
        "M13",
        "plan a ephemeral\n"
        + GROUP
        + "p publish t/1 1 x\n p< puback x\n a< publish t/1 1 x id=1\n ! b< publish t/1 1 x id=1",
    ),
    "QoS 0 to two members": ("M13", GROUP + "p publish t/1 0 x\n a< publish t/1 0 x\n ! b< publish t/1 0 x"),
    "QoS 2 to another member after the first went away": (
        "M13",
        GROUP
        + "p publish t/1 2 x\n p< pubrec x\n p< pubcomp x\n a< publish t/1 2 x id=1\n a drop\n"
        + "! b< publish t/1 2 x id=1\n ! b< pubrel 1\n a connect\n a< connack present\n a< pubrel 1",
    ),
    "QoS 2 to another member after the first one's session ended": (
        "M13",
        GROUP
        + "p publish t/1 2 x\n p< pubrec x\n p< pubcomp x\n a< publish t/1 2 x id=1\n a< pubrel 1\n a drop\n"
        + "a connect clean\n a< connack\n ! b< publish t/1 2 x id=1\n ! b< pubrel 1",
    ),
    "lost while one member was away": (
        "M13",
        GROUP + "a drop\n p publish t/1 1 x\n p< puback x\n = b< publish t/1 1 x id=1\n a connect\n a< connack present",
    ),
    "one group left out": (
        "M13",
        "plan c group=h\n"
        + GROUP
        + "c connect\n c< connack\n c subscribe $share/h/t/1 1\n c< suback 1\n p publish t/1 1 x\n p< puback x\n"
        + "a< publish t/1 1 x id=1\n = c< publish t/1 1 x id=1",
    ),
    "lost after a member that may have been begun anew was back": (
        "M13",
        UNNOTICED
        + "a connect\n a drop\n a connect\n a< connack present\n p publish t/1 1 x\n p< puback x\n"
        + "= b< publish t/1 1 x id=1",
    ),
}
