"""The layout: a folder is a layer, and knows those below it; nothing imports upward or in a circle.

Imports count wherever they stand: in functions, and for types alone. What is not so yet is listed
below, exactly: what is no longer needed there has to go, and nothing new comes in.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "duplex"
# Bottom to top; folders of one layer do not know each other.
LAYERS = (
    {"system"},
    {"transcript"},
    {"protocol"},
    {"channel"},
    {"room", "talk"},
    {"client", "terminal", "store"},
    {"cli"},
)
RANK = {folder: rank for rank, layer in enumerate(LAYERS) for folder in layer}
AT_THE_TOP = {"__init__", "__main__"}
UPWARD: set[tuple[str, str]] = set()
CIRCLES: list[set[str]] = [
    {"system.errors", "system.stdio"},
    {"channel.base", "channel.sniff"},
]


@cache
def modules() -> dict[str, Path]:
    """Every module by its name without the package's: `room.server`."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts)] = path
    return found


@cache
def imports() -> dict[str, set[str]]:
    """What every module imports of the others."""
    return {
        name: {
            module for node in ast.walk(ast.parse(path.read_bytes())) for module in imported(node)
        }
        - {name}
        for name, path in modules().items()
    }


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports name the whole way"
        named = [(f"{node.module}.{alias.name}", node.module or "") for alias in node.names]
    elif isinstance(node, ast.Import):
        named = [(alias.name, "") for alias in node.names]
    else:
        return []
    found = []
    for candidates in named:
        for candidate in candidates:
            of_ours = candidate.removeprefix("duplex").removeprefix(".")
            if candidate.partition(".")[0] != "duplex":
                continue
            module = next((m for m in (of_ours, f"{of_ours}.__init__") if m in modules()), None)
            if module or not of_ours:
                found.append(module or "__init__")
                break
    return found


def may_import(importer: str, other: str) -> bool:
    """Whether one module may know another, by the folders in which they are."""
    if importer in AT_THE_TOP:
        return True
    mine, its = importer.partition(".")[0], other.partition(".")[0]
    return mine == its or other == "__init__" or RANK[its] < RANK[mine]


def circles() -> list[set[str]]:
    """The strongly connected components of more than one module (Tarjan)."""
    graph = imports()
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in number:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], number[other])
        if lowest[name] == number[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(set(stack[at:]))
            del stack[at:]

    for name in sorted(graph):
        if name not in number:
            visit(name)
    return found


def test_every_module_is_in_a_layer() -> None:
    at_the_top = {name for name in modules() if "." not in name}
    folders = {name.partition(".")[0] for name in modules()} - at_the_top
    assert at_the_top == AT_THE_TOP
    assert folders == set(RANK)


def test_nothing_imports_upward_or_its_neighbour() -> None:
    upward = {
        (name, other)
        for name, others in imports().items()
        for other in others
        if not may_import(name, other)
    }
    assert not upward - UPWARD, "imports upward that are new"
    assert not UPWARD - upward, "listed above, and no longer so: strike them out"


def test_no_imports_are_in_a_circle() -> None:
    found = circles()
    new = [circle for circle in found if not any(circle <= known for known in CIRCLES)]
    assert not new, "circles that are new"
    assert all(known in found for known in CIRCLES), "a circle is smaller or gone: so say above"
