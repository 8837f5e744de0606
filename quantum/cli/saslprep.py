"""SASLprep: user names and passwords in the one form that both sides of SCRAM compute with. Source: RFC 4013."""

import stringprep
import unicodedata
from typing import Final

_PROHIBITED: Final = (
    stringprep.in_table_a1,  # unassigned: what is stored must not hold it. RFC 3454 §7
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """The prepared text. Raises: ValueError, which says what is wrong and not with which text."""
    spaced = "".join(" " if stringprep.in_table_c12(each) else each for each in text)
    mapped = "".join(each for each in spaced if not stringprep.in_table_b1(each))
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not prepared:
        raise ValueError("nothing is left of it, allowed one character and up")
    for each in prepared:
        if any(is_in(each) for is_in in _PROHIBITED):
            raise ValueError(f"it holds U+{ord(each):04X}, which RFC 4013 does not allow")
    if any(stringprep.in_table_d1(each) for each in prepared):
        is_mixed = any(stringprep.in_table_d2(each) for each in prepared)
        if is_mixed or not stringprep.in_table_d1(prepared[0]) or not stringprep.in_table_d1(prepared[-1]):
            raise ValueError("it mixes directions of writing in a way that RFC 4013 does not allow")
    return prepared
