"""Prints the README's table of families, each cell from tests that ran: `python tests/families_table.py`.

A test says which cell it stands for through the `cell` fixture. With `--write FILE` the table takes the place of
what stands between `<!-- families -->` and `<!-- end of families -->` in that file. Other arguments go to pytest;
without any, the tests that fill cells run.
"""

import sys
from collections import Counter
from pathlib import Path

import pytest

COLUMNS = ["loads", "logits equal", "greedy equal", "GGUF", "LoRA", "quantised"]
TESTS = ["tests/parity", "tests/models"]
TITLES = {
    "gemma2": "Gemma 2",
    "gemma3": "Gemma 3 (text)",
    "gpt2": "GPT-2",
    "llama": "Llama 1, 2, 3.x",
    "mistral": "Mistral",
    "mixtral": "Mixtral",
    "olmo2": "OLMo 2",
    "phi": "Phi-1, 1.5, 2",
    "phi3": "Phi-3, 3.5, 4-mini",
    "qwen2": "Qwen2, 2.5",
    "qwen3": "Qwen3",
    "qwen3_moe": "Qwen3-MoE",
    "smollm": "SmolLM 1, 2",
    "smollm3": "SmolLM3",
    "stablelm": "StableLM 2",
}
BEGIN, END = "<!-- families -->", "<!-- end of families -->"


class Cells:
    """Counts, for every cell, the tests that passed and those that ran."""

    def __init__(self) -> None:
        self.passed: Counter[tuple[str, str]] = Counter()
        self.ran: Counter[tuple[str, str]] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" or report.skipped:
            return
        for name, cell in report.user_properties:
            if name == "cell":
                self.ran[cell] += 1
                self.passed[cell] += report.passed

    def table(self) -> str:
        """Markdown: a row a family; what was tested in no test is empty."""
        families = sorted({family for family, _ in self.ran}, key=lambda f: TITLES.get(f, f).lower())
        lines = ["| family | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        for family in families:
            cells = (self._cell(family, column) for column in COLUMNS)
            lines.append(f"| {TITLES.get(family, family)} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def _cell(self, family: str, column: str) -> str:
        passed, ran = self.passed[family, column], self.ran[family, column]
        if not ran:
            return ""
        return f"✓ {ran}" if passed == ran else f"✗ {ran - passed} of {ran}"


def main(arguments: list[str]) -> int:
    write = None
    if "--write" in arguments:
        at = arguments.index("--write")
        write = Path(arguments[at + 1])
        arguments = arguments[:at] + arguments[at + 2 :]
    cells = Cells()
    code = pytest.main(["-q", *(arguments or TESTS)], plugins=[cells])
    table = cells.table()
    print(f"\n{table}")
    if write is not None:
        head, begin, rest = write.read_text().partition(BEGIN)
        _, end, tail = rest.partition(END)
        if not end:
            raise SystemExit(f"{write}: nothing stands between {BEGIN} and {END}")
        write.write_text(f"{head}{begin}\n{table}\n{end}{tail}")
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
