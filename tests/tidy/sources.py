"""The sources that the rules of the house are held against, read and parsed once."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """One Python file of the product or its tests."""

    path: str  # from the root of the checkout
    module: str  # dotted
    text: str
    tree: ast.Module

    @property
    def is_core(self) -> bool:
        """Whether the rules of pure code hold here."""
        return self.module == "quantum.core" or self.module.startswith("quantum.core.")

    def at(self, node: ast.AST) -> str:
        """Where a finding is, as an editor opens it."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


@cache
def product() -> tuple[Source, ...]:
    """Every module under quantum/."""
    return _read("quantum")


@cache
def everything() -> tuple[Source, ...]:
    """Every module under quantum/ and tests/."""
    return _read("quantum") + _read("tests")


def core() -> tuple[Source, ...]:
    """Every module under quantum/core."""
    return tuple(source for source in product() if source.is_core)


def _read(folder: str) -> tuple[Source, ...]:
    sources = []
    for file in sorted((ROOT / folder).rglob("*.py")):
        relative = file.relative_to(ROOT)
        parts = list(relative.with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        text = file.read_text(encoding="utf-8")
        sources.append(Source(str(relative), ".".join(parts), text, ast.parse(text, str(relative))))
    return tuple(sources)
