"""Goal: nothing but MqttError leaves framer, decoder, client and server connection. Method: 20 000 cases of a fixed seed."""

import pytest

from tests.core.mqtt.fuzz import CHUNK_CASES, TARGETS, codec_case, run_chunk


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("chunk", [0, 1])
def test_broken_streams_give_errors_with_statements(target: str, chunk: int) -> None:
    count, outcomes, failure = run_chunk((20, chunk, CHUNK_CASES, (target,)))
    assert (CHUNK_CASES, "") == (count, failure)
    assert 20 < len(outcomes), "the cases do not get deep enough to break many rules"


def test_an_escaping_error_is_reported_with_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(version: int, data: bytes) -> str:
        return codec_case(version, data) if data[:1] != b"\x30" else str(1 // 0)

    monkeypatch.setitem(TARGETS, "broken", broken)
    count, _, failure = run_chunk((20, 0, CHUNK_CASES, ("broken",)))
    assert count < CHUNK_CASES
    assert "bytes 30" in failure
    assert "ZeroDivisionError" in failure
