"""Reads the tree's own shape: module sentences and imports. `python tests/structure.py` rewrites the tree
in ARCHITECTURE.md from the first sentence of each module's docstring."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- tree -->", "<!-- end of tree -->"
# Each may import those before it, never one after it.
ORDER = [
    "errors", "device", "report", "cost", "text", "images", "audio", "kernels", "layers", "models", "cache", "sampling",
    "outputs", "engine", "limits", "lora", "prompts", "answer", "tasks", "trace", "driver", "transcription", "writer", "views", "tracing", "llm",
    "text_to_text", "demo", "bench", "server", "training", "bundled", "cli",
]  # fmt: skip
FOLDERS = ["pellucid", "recipes", "benchmarks", "tests"]


def modules(*folders: str) -> list[Path]:
    """Every Python file below the folders, in reading order."""
    return [
        path.relative_to(ROOT)
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    doc = ast.get_docstring(ast.parse((ROOT / path).read_text()))
    if not doc:
        raise AssertionError(f"{path} has no docstring: its first sentence is its line in ARCHITECTURE.md")
    first = " ".join(doc.split("\n\n")[0].split())
    # "et al. 2017" and "e.g. x" are no ends of a sentence
    return re.split(r"(?<!al)\. (?=[A-Z`])", first)[0].removesuffix(".")


def tree() -> str:
    """The tree as ARCHITECTURE.md shows it: one line a file, with its sentence."""
    lines = [f"- `{path.as_posix()}`: {sentence(path)}." for path in modules(*FOLDERS)]
    return "\n".join(lines)


def imports(path: Path) -> set[str]:
    """The pellucid modules that a file imports, dotted, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "pellucid"}


def main() -> None:
    page = ROOT / "ARCHITECTURE.md"
    head, _, rest = page.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    page.write_text(f"{head}{BEGIN}\n{tree()}\n{END}{tail}")


if __name__ == "__main__":
    main()
