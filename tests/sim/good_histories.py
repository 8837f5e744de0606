"""Histories that look wrong at first sight, and are not."""

from tests.sim.doctored_deliveries import BOTH
from tests.sim.doctored_sessions import DELAYED, GROUP, RESENT_RETAINED, UNNOTICED, WATCHED, WILL, WRITER

GOOD = {
    "QoS 0 may get lost between two connections": (BOTH + "s drop\n p probe\n s connect\n s< connack present"),
    "QoS 0 is not owed by a subscription that is asked for": (
        "s connect\n s< connack\n s subscribe t/1 0\n p connect\n p< connack\n p probe\n s< suback 0"
    ),
    "QoS 0 may get lost": BOTH + "p publish t/1 0 a",
    "what was not acknowledged may get lost": BOTH + "p publish t/1 1 a",
    "nothing is owed to a subscription of QoS 0": (
        "s connect\n s< connack\n s subscribe t/1 0\n s< suback 0\n p connect\n p< connack\n p publish t/1 1 a\n p< puback a"
    ),
    "nothing is owed before SUBACK": (
        "s connect\n s< connack\n s subscribe t/1 1\n p connect\n p< connack\n p publish t/1 1 a\n p< puback a\n"
        "s< suback 1"
    ),
    "nothing is owed after UNSUBSCRIBE": BOTH + "s unsubscribe t/#\n p publish t/1 1 a\n p< puback a\n s< unsuback",
    "a match may come between UNSUBSCRIBE and UNSUBACK": (
        BOTH + "s unsubscribe t/#\n p publish t/1 0 a\n s< publish t/1 0 a\n s< unsuback"
    ),
    "what was matched before UNSUBACK may come after it": (
        BOTH + "p publish t/1 1 a\n s unsubscribe t/#\n s< unsuback\n s< publish t/1 1 a id=1"
    ),
    "an expired message may get lost": BOTH + "s drop\n p publish t/1 1 a expiry=1\n p< puback a\n wait 9000",
    "No Local owes nothing": (
        "p connect\n p< connack\n p subscribe t/1 1 nl\n p< suback 1\n p publish t/1 1 a\n p< puback a"
    ),
    "too large is discarded": "plan s bytes=100\n" + BOTH + "p publish t/1 1 a big\n p< puback a",
    "nothing is owed to a session that ended": (
        BOTH + "p publish t/1 1 a\n p< puback a\n s drop\n s connect clean\n s< connack"
    ),
    "QoS 1 twice, because its publisher sent it twice": (
        BOTH
        + "p publish t/1 1 a\n s< publish t/1 1 a id=1\n p drop\n p connect\n p< connack present\n p< puback a\n"
        + "s< publish t/1 1 a id=2"
    ),
    "a resent QoS 1 message comes behind its successor the second time": (
        BOTH
        + "p publish t/1 1 a\n p publish t/1 1 b\n s< publish t/1 1 a id=1\n s< publish t/1 1 b id=2\n p drop\n"
        + "p connect\n p< connack present\n s< publish t/1 1 a id=3\n s< publish t/1 1 b id=4"
    ),
    "an older message of another QoS": (
        BOTH + "p publish t/1 1 a\n p publish t/1 0 b\n s< publish t/1 0 b\n s< publish t/1 1 a id=1"
    ),
    "an older message of another publisher": (
        BOTH
        + "q connect\n q< connack\n p publish t/1 1 a\n q publish t/1 1 b\n s< publish t/1 1 b id=1\n s< publish t/1 1 a id=2"
    ),
    "QoS 0 of an older connection of the publisher": (
        BOTH
        + "p publish t/1 0 a\n p drop\n p connect\n p< connack present\n p publish t/1 0 b\n s< publish t/1 0 b\n"
        + "s< publish t/1 0 a"
    ),
    "PUBREL again to a resumed session": (
        BOTH
        + "p publish t/1 2 a\n s< publish t/1 2 a id=1\n s< pubrel 1\n s drop\n s connect\n s< connack present\n s< pubrel 1"
    ),
    "an abandoned clean start may empty the session whenever it arrives": (
        BOTH
        + "s drop\n s connect clean\n s drop\n s connect clean\n s< connack\n s subscribe t/# 1\n s< suback 1\n s drop\n"
        + "s connect\n s< connack present\n p publish t/1 1 a\n p< puback a"
    ),
    "an abandoned session of one connection may end the one that lasts": (
        "plan s v311\n s connect clean\n s drop\n s connect clean\n s< connack\n s drop\n s connect\n s< connack\n"
        "s drop\n s connect\n s< connack"
    ),
    "an abandoned CONNECT may begin a session whenever it arrives": (
        "s connect\n s drop\n s connect\n s< connack present"
    ),
    "a session may have expired": "plan s expiry=3\n s connect\n s< connack\n s drop\n wait 4000\n s connect\n s< connack",
    "a session that expired and was begun anew by an abandoned CONNECT": (
        "plan s expiry=3\n"
        + BOTH
        + "p publish t/1 1 a\n p< puback a\n s drop\n wait 9000\n s connect\n s drop\n s connect\n s< connack present"
    ),
    "a session that was let go and begun anew by an abandoned CONNECT": (
        BOTH
        + "p publish t/1 1 a\n p< puback a\n s disconnect-for-good\n s connect\n s drop\n s connect\n s< connack present"
    ),
    "a session that was let go may be there yet": (
        "s connect\n s< connack\n s disconnect-for-good\n s connect\n s< connack present"
    ),
    "a session that was let go may be gone": (
        BOTH + "s disconnect-for-good\n p publish t/1 1 a\n p< puback a code=10\n s connect\n s< connack"
    ),
    "QoS 2 twice, because its publisher's session may have been begun anew": (
        BOTH
        + """p drop
        p connect clean
        p drop
        p connect clean
        p< connack
        p publish t/1 2 a
        s< publish t/1 2 a id=1
        s< pubrel 1
        p drop
        p connect
        p< connack present
        s< publish t/1 2 a id=2
        s< pubrel 2
        """
    ),
    "nobody knows when a session expires while clocks jump": (
        "plan s expiry=10\n time uneven\n s connect\n s< connack\n s drop\n wait 60000\n s connect\n s< connack present"
    ),
    "a will that may have been taken back": WILL + "s disconnect\n m< publish will/s 1 will:s:1 id=1",
    "a will that nobody could notice to be due": WILL + "s drop",
    "a delayed will after a clean start": (
        DELAYED + "s drop\n s connect clean\n s< connack\n m< publish will/s 1 will:s:1 id=1"
    ),
    "a delayed will although the session went on, long after": (
        DELAYED + "s drop\n wait 31000\n m< publish will/s 1 will:s:1 id=1\n s connect\n s< connack present"
    ),
    "a will again with DUP": (
        WATCHED
        + "plan s will\n s connect\n s< connack\n s drop\n m< publish will/s 1 will:s:1 id=1\n m drop\n m connect\n"
        + "m< connack present\n m< publish will/s 1 will:s:1 id=1 dup"
    ),
    "either of two concurrent retained values": (
        WRITER
        + "q connect\n q< connack\n p publish r/1 1 a retain\n q publish r/1 1 b retain\n p< puback a\n q< puback b\n"
        + "s connect\n s< connack\n s subscribe r/1 1\n s< suback 1\n s< publish r/1 1 a id=1 retain"
    ),
    "an open write may be seen or not": (
        WRITER
        + "p publish r/1 1 a retain\n s connect\n s< connack\n s subscribe r/1 1\n s< suback 1\n"
        + "q connect\n q< connack\n q subscribe r/1 1\n q< suback 1\n q< publish r/1 1 a id=1 retain"
    ),
    "a retained value again after it was resent": (
        WRITER
        + "q connect\n q< connack\n p publish r/1 1 a retain\n q publish r/1 1 b retain\n q< puback b\n"
        + "s connect\n s< connack\n s subscribe r/1 1\n s< suback 1\n s< publish r/1 1 b id=1 retain\n"
        + "p drop\n p connect\n p< connack present\n p< puback a\n"
        + "o connect\n o< connack\n o subscribe r/1 1\n o< suback 1\n o< publish r/1 1 a id=1 retain"
    ),
    "Retain Handling 1 for a subscription that is new": (
        WRITER
        + "p publish r/1 1 a retain\n p< puback a\n s connect\n s< connack\n s subscribe r/1 1 rh=1\n s< suback 1\n"
        + "s< publish r/1 1 a id=1 retain"
    ),
    "one retained message for each of two SUBSCRIBEs": (
        WRITER
        + "p publish r/1 1 a retain\n p< puback a\n s connect\n s< connack\n s subscribe r/1 1\n s< suback 1\n"
        + "s< publish r/1 1 a id=1 retain\n s subscribe r/1 1\n s< suback 1\n s< publish r/1 1 a id=2 retain"
    ),
    "a QoS 2 message lost with the session it was given to": (
        GROUP + "p publish t/1 2 x\n p< pubrec x\n p< pubcomp x\n a drop\n a connect clean\n a< connack"
    ),
    "a shared message given to another when the first one's session ended": (
        GROUP + "p publish t/1 1 x\n p< puback x\n a< publish t/1 1 x id=1\n a drop\n a connect clean\n a< connack\n"
        "b< publish t/1 1 x id=1"
    ),
    "a QoS 2 message shared with QoS 1 may be given again": (
        GROUP.replace("a subscribe $share/g/t/# 2", "a subscribe $share/g/t/# 1").replace("a< suback 2", "a< suback 1")
        + "p publish t/1 2 x\n p< pubrec x\n p< pubcomp x\n a< publish t/1 1 x id=1\n a drop\n a connect clean\n"
        + "a< connack\n b< publish t/1 2 x id=1\n b< pubrel 1"
    ),
    "a resent message comes late because its first copy expired": (
        BOTH
        + "s drop\n p publish t/1 1 a expiry=1\n p publish t/1 1 b\n p drop\n p connect\n wait 5000\n p< connack present\n"
        + "s connect\n s< connack present\n s< publish t/1 1 b id=1\n s< publish t/1 1 a id=2 expiry=1"
    ),
    "a QoS 2 message of a group lost between a clean start and its answer": (
        GROUP + "a drop\n a connect clean\n p publish t/1 2 x\n p< pubrec x\n p< pubcomp x\n a< connack"
    ),
    "a shared message lost with the node of a member whose session ends with its connection": (
        "plan a ephemeral\n" + GROUP + "p publish t/1 1 x\n p< puback x\n world disturbed a\n a drop"
    ),
    "a shared message given to another before the first one's client learns that its session ended": (
        "plan a ephemeral\n"
        + GROUP
        + "p publish t/1 1 x\n p< puback x\n a< publish t/1 1 x id=1\n b< publish t/1 1 x id=1\n a drop"
    ),
    "a connection that was taken over may be heard until then": (
        BOTH + "p publish t/1 0 a\n p connect\n p< connack present\n s< publish t/1 0 a"
    ),
    "QoS 0 may get lost with the connection that carried it": (
        BOTH + "p probe\n p drop\n p connect\n p< connack present"
    ),
    "a resent message comes late because only its second copy met a subscription that lets it through": (
        "p connect\n p< connack\n p subscribe t/# 1 nl\n p< suback 1\n p publish t/1 1 a\n p subscribe t/1 1\n"
        "p publish t/1 1 b\n p< publish t/1 1 b id=1\n p drop\n p connect\n p< connack present\n"
        "p< publish t/1 1 a id=2"
    ),
    "a resent message comes late because its first copy was sent at QoS 0": (
        "s connect\n s< connack\n s subscribe t/# 0\n s< suback 0\n p connect\n p< connack\n p publish t/1 1 a\n"
        "s subscribe t/1 1\n p publish t/1 1 b\n s< publish t/1 1 b id=1\n p drop\n p connect\n p< connack present\n"
        "s< publish t/1 1 a id=2"
    ),
    "Retain Handling 1 for a subscription that may have ended with its session": (
        "plan s expiry=3\n"
        + WRITER
        + "s connect\n s< connack\n s subscribe r/1 1 rh=2\n s< suback 1\n p publish r/1 1 a retain\n p< puback a\n"
        + "s< publish r/1 1 a id=1\n s drop\n wait 9000\n s connect\n s drop\n s connect\n s< connack present\n"
        + "s subscribe r/1 1 rh=1\n s< suback 1\n s< publish r/1 1 a id=2 retain"
    ),
    "an exchange of a session that was let go need not be finished in the one that was begun anew": (
        BOTH
        + "p publish t/1 2 a\n s< publish t/1 2 a id=1\n s disconnect-for-good\n s connect\n s drop\n s connect\n"
        + "s< connack present\n world settled s"
    ),
    "QoS 2 sent again to a session that took it before the other writer": (
        RESENT_RETAINED + "o connect\n o< connack\n o subscribe r/1 1\n o< suback 1\n o< publish r/1 1 b id=1 retain"
    ),
    "QoS 2 sent again to a session that was begun anew, behind the other writer": (
        RESENT_RETAINED + "o connect\n o< connack\n o subscribe r/1 1\n o< suback 1\n o< publish r/1 1 a id=1 retain"
    ),
    "a QoS 2 message lost with a session whose end the server noticed late": (
        UNNOTICED
        + "p publish t/1 2 x\n p< pubrec x\n p< pubcomp x\n a connect\n a drop\n a connect\n a< connack present"
    ),
}
