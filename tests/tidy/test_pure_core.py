"""Goal: nothing in quantum/core can make two replicas differ. Method: the syntax trees, searched for the ways it
happens: salted hashes, set order, floats, coroutines, the outside. Each search is also run on a wrong example."""

import ast

import pytest

from tests.tidy.sources import Source, core

BANNED_CALLS = frozenset("open print input hash id eval exec compile __import__ breakpoint globals locals vars".split())
# The one place where a module may look at its own names: it collects a table at import, in the order of the text.
EXCUSED = {("quantum/core/causes.py", "globals")}
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
# What takes an iterable and answers the same whatever its order.
ORDERLESS = frozenset({"sorted", "len", "min", "max", "sum", "any", "all", "set", "frozenset", "bool"})
FLOAT_MATH = frozenset("sqrt log log2 log10 exp pow sin cos tan fsum hypot e pi inf nan".split())


def banned_calls(source: Source) -> list[str]:
    """Calls of builtins that reach outside or depend on the process."""
    return [
        f"{source.at(node)} calls {node.func.id}()"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in BANNED_CALLS
        and (source.path, node.func.id) not in EXCUSED
    ]


def coroutines(source: Source) -> list[str]:
    """Anything of `async`."""
    kinds = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    return [f"{source.at(node)} is async" for node in ast.walk(source.tree) if isinstance(node, kinds)]


def floats(source: Source) -> list[str]:
    """Float constants, true division, float() and float annotations, float functions of math."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"{source.at(node)} has the float {node.value}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"{source.at(node)} divides with /; use //")
        elif isinstance(node, ast.Name) and node.id == "float":
            found.append(f"{source.at(node)} speaks of float")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "math":
            if node.attr in FLOAT_MATH:
                found.append(f"{source.at(node)} uses math.{node.attr}")
    return found


def is_set_annotation(node: ast.expr | None) -> bool:
    """Whether an annotation says set or frozenset, quoted or not."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    if isinstance(node, ast.Subscript):
        if isinstance(node.value, ast.Name) and node.value.id in {"Final", "ClassVar"}:
            return is_set_annotation(node.slice)
        node = node.value
    return isinstance(node, ast.Name) and node.id in {"set", "frozenset"}


class SetNames(ast.NodeVisitor):
    """The names and attributes of one file that hold sets, by annotation or by what is assigned."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if is_set_annotation(node.annotation):
            self.names.add(ast.unparse(node.target))
            if isinstance(node.target, ast.Name):
                self.names.add(f"self.{node.target.id}")  # a field of a dataclass
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if is_set(node.value, self.names):
            self.names.update(ast.unparse(target) for target in node.targets)
        self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        if is_set_annotation(node.annotation):
            self.names.add(node.arg)


def is_set(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is a set, as far as its text can tell."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Name | ast.Attribute):
        return ast.unparse(node) in names
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return is_set(node.left, names) or is_set(node.right, names)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            return node.func.id in {"set", "frozenset"}
        if isinstance(node.func, ast.Attribute) and node.func.attr in SET_METHODS:
            return is_set(node.func.value, names)
    return False


def set_iterations(source: Source) -> list[str]:
    """Loops, comprehensions, unpackings, pops and order-keeping conversions over a set."""
    seen = SetNames()
    seen.visit(source.tree)
    excused = {
        generator
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ORDERLESS
        for argument in node.args
        if isinstance(argument, ast.GeneratorExp | ast.ListComp | ast.SetComp)
        for generator in argument.generators
    }
    found = []
    for node in ast.walk(source.tree):
        taken: list[ast.expr] = []
        if isinstance(node, ast.For) or (isinstance(node, ast.comprehension) and node not in excused):
            taken = [node.iter]
        elif isinstance(node, ast.Starred):
            taken = [node.value]
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id not in ORDERLESS and node.func.id != "isinstance":
                if node.func.id in {"list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter", "dict"}:
                    taken = list(node.args)
            elif isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and not node.args:
                taken = [node.func.value]
            elif isinstance(node.func, ast.Attribute) and node.func.attr in {"join", "extend", "fromkeys"}:
                taken = list(node.args)
        found.extend(
            f"{source.at(expression)} takes {ast.unparse(expression)} in set order; use a dict or sorted()"
            for expression in taken
            if is_set(expression, seen.names)
        )
    return found


CHECKS = (banned_calls, coroutines, floats, set_iterations)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("source", core(), ids=lambda source: source.module)
def test_core_is_pure(source: Source, check) -> None:
    assert [] == check(source)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (banned_calls, "x = hash('a')"),
        (banned_calls, "print(1)"),
        (coroutines, "async def f(): pass"),
        (floats, "x = 0.5"),
        (floats, "x = a / b"),
        (floats, "x /= 2"),
        (floats, "def f(x: float) -> None: ..."),
        (floats, "import math\nx = math.sqrt(2)"),
        (set_iterations, "for x in {1, 2}: pass"),
        (set_iterations, "s: set[int] = set()\nfor x in s: pass"),
        (set_iterations, "s = set()\ny = [x for x in s]"),
        (set_iterations, "s = frozenset(a)\ny = list(s)"),
        (set_iterations, "class A:\n  s: set[int]\n  def f(self):\n    for x in self.s: pass"),
        (set_iterations, "def f(s: set[int]):\n  return [*s]"),
        (set_iterations, "s = set()\ns.pop()"),
        (set_iterations, "s = set()\nfor x in s | t: pass"),
        (set_iterations, "s = set()\n','.join(s)"),
    ],
)
def test_each_check_finds_its_wrong_example(check, text: str) -> None:
    assert 1 == len(check(Source("quantum/core/example.py", "quantum.core.example", text, ast.parse(text))))


@pytest.mark.parametrize(
    "text",
    [
        "s: set[int] = set()\nfor x in sorted(s): pass",
        "s = set()\nn = len(s)\nb = any(x for x in s)",
        "d = {}\nfor x in d: pass\nx = 7 // 2",
        "s: set[int] = set()\nif 3 in s: pass\ns.discard(3)",
        "l = [1]\nl.pop()",
    ],
)
def test_checks_leave_right_examples_alone(text: str) -> None:
    source = Source("quantum/core/example.py", "quantum.core.example", text, ast.parse(text))
    assert [] == [finding for check in CHECKS for finding in check(source)]
