"""Imports go downward only: each folder may import from those before it in the house's order."""

import ast
from pathlib import Path

import pytest

import unrecur

SOURCE = Path(unrecur.__file__).parent
FLOORS = [
    "_version",
    "_check",
    "_files",
    "core",
    "cells",
    "solvers",
    "layers",
    "certificates",
    "models",
    "truncation",
    "parallelism",
    "data",
    "train",
    "interop",
    "audits",
    "exports",
    "streams",
    "studies",
    "report",
    "cli",
    "__main__",
]
FILES = sorted(SOURCE.rglob("*.py"))


def imports(path):
    """The modules of ours that a file imports, as paths like ("core", "field")."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("unrecur."):
                yield tuple(name.split(".")[1:])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_downward(path):
    place = path.relative_to(SOURCE).with_suffix("").parts
    if place == ("__init__",):
        return
    floor = FLOORS.index(place[0])
    for name in imports(path):
        if name[0] in ("__version__",):
            continue
        # The report reads plain rows: it stands above the study but knows no model.
        assert FLOORS.index(name[0]) <= floor, f"{path} imports unrecur.{'.'.join(name)} from above"


def graph():
    """Which module imports which, within the package."""
    modules = {path.relative_to(SOURCE).with_suffix("").parts: path for path in FILES}
    modules = {
        (parts[:-1] if parts[-1] == "__init__" else parts): path for parts, path in modules.items()
    }
    return {
        module: {name for name in imports(path) if name in modules and name != module}
        for module, path in modules.items()
        if module
    }


def test_no_import_is_circular():
    edges = graph()
    done, active = set(), []

    def visit(module):
        assert module not in active, f"circular import: {active} -> {module}"
        if module in done:
            return
        active.append(module)
        for other in edges[module]:
            visit(other)
        done.add(active.pop())

    for module in edges:
        visit(module)
