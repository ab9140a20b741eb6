"""The architecture, held to: every file has its sentence, imports go one way, no cycles."""

import ast
from graphlib import TopologicalSorter

import pytest
import structure


def part(dotted: str) -> str:
    pieces = dotted.split(".")
    return pieces[1] if len(pieces) > 1 else ""


def test_every_file_has_its_sentence() -> None:
    page = (structure.ROOT / "ARCHITECTURE.md").read_text()
    listed = page.partition(structure.BEGIN)[2].partition(structure.END)[0].strip()
    assert listed == structure.tree(), "ARCHITECTURE.md is behind: run `python tests/structure.py`"


@pytest.mark.parametrize("path", structure.modules("pellucid"), ids=str)
def test_imports_point_only_upward(path) -> None:
    own = path.with_suffix("").parts[1]
    if own in ("__init__", "__main__"):
        return
    assert own in structure.ORDER, f"say in tests/structure.py where {own} stands"
    for name in structure.imports(path):
        if part(name) in structure.ORDER:
            assert structure.ORDER.index(part(name)) <= structure.ORDER.index(own), f"{path} imports {name}"


def test_no_cycles() -> None:
    files = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): path
        for path in structure.modules("pellucid")
    }
    graph = {
        name: {other for other in structure.imports(path) if other in files and other != name}
        for name, path in files.items()
    }
    # a package's __init__ gathers its own modules; what imports the package gets them through it
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in structure.modules("pellucid/cache", "pellucid/engine")
        if p.name in {"block_pool.py", "prefix_cache.py", "scheduler.py", "request.py", "batch.py"}
    ],
    ids=str,
)
def test_bookkeeping_imports_no_torch(path) -> None:
    for node in ast.walk(ast.parse((structure.ROOT / path).read_text())):
        names = (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        assert not any(name.split(".")[0] == "torch" for name in names), f"{path} imports torch"


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them by base name, so two alike cannot both run."""
    names = [path.name for path in structure.modules("tests")]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
