"""Which normative statements a test checks. The manifest in `fixtures/statements/` is filled from these marks."""

import pytest


def statement(*ids: str) -> pytest.MarkDecorator:
    """`MQTT-3.3.1-4` is of 5.0, `311:MQTT-3.3.1-4` of 3.1.1. One test may check several."""
    assert ids
    return pytest.mark.statement(*ids)
