"""The words around the guide's facts, read from `guide_phrases.txt`."""

import re
from pathlib import Path


def sections() -> dict[str, list[str]]:
    """The lines under each `[section]`."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in Path(__file__).with_suffix(".txt").read_text().splitlines():
        if re.fullmatch(r"\[[a-z ]+\]", line):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            found.setdefault(name, []).append(line)
    return found


_LINES = sections()
FORMS = {aspect: _LINES[aspect] for aspect in ("what", "why", "how", "ex")}
FOLLOW = {aspect: _LINES[f"then {aspect}"] for aspect in ("why", "how", "ex", "what", "more")}
DESCRIBED = _LINES["described"]
COMPARE, CENTRAL, SYSTEM = _LINES["compare"], set(_LINES["central"]), _LINES["system"]
ELSEWHERE, NOUNS, NOT_KNOWN = _LINES["elsewhere"], _LINES["nouns"], _LINES["not known"]
PLACES, PEOPLE, SYLLABLES = _LINES["places"], _LINES["people"], _LINES["syllables"]
SUMS = _LINES["sums"]
OPENINGS, VERBS, ANY_WORDS = _LINES["openings"], _LINES["verbs"], " ".join(_LINES["any words"]).split()
WANTED = {aspect: _LINES[f"wanted {aspect}"] for aspect in ("what", "why", "how")}
WITHOUT = {aspect: _LINES[f"free {aspect}"] for aspect in ("what", "why", "how")}
# a _ is a blank; what follows a question is set off from it by one unless it begins with a comma
BEFORE = [line.replace("_", " ") for line in _LINES["before"]]
AFTER = [
    line if line[0] in ", " else f" {line}" for line in (line.replace("_", " ") for line in _LINES["after"])
]
LOWER = {"Wh", "Ho", "Ex", "Ca", "Co", "De", "Te", "Gi", "Is", "Do", "Ar", "Sh"}
"""Beginnings that may lose their capital after a greeting."""
