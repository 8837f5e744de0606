"""The golden vectors of fixtures/mqtt as bytes, and bytes cut into chunks as a socket does."""

from pathlib import Path

from quantum.core.mqtt.packets import V5, V31, V311

VERSIONS = (V31, V311, V5)
_FILES = {V31: "v31.txt", V311: "v311.txt", V5: "v50.txt"}
_FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "mqtt"


def vectors(version: int) -> dict[str, bytes]:
    """Name → packet."""
    found: dict[str, bytes] = {}
    for line in (_FOLDER / _FILES[version]).read_text().splitlines():
        name, _, digits = line.partition(" ")
        if name and name != "#":
            found[name] = bytes.fromhex(digits)
    return found


def chunks(data: bytes, size: int) -> list[bytes]:
    """Pieces of `size` bytes; 0 for one piece."""
    return [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
