"""The words around the guide's facts, read from `guide_phrases.txt`."""

from pathlib import Path


def sections() -> dict[str, list[str]]:
    """The lines under each `[section]`."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in Path(__file__).with_suffix(".txt").read_text().splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            found.setdefault(name, []).append(line)
    return found


_LINES = sections()
FORMS = {aspect: _LINES[aspect] for aspect in ("what", "why", "how", "ex")}
FOLLOW = {aspect: _LINES[f"then {aspect}"] for aspect in ("why", "how", "ex", "what", "more")}
COMPARE, CENTRAL, SYSTEM = _LINES["compare"], set(_LINES["central"]), _LINES["system"]
ELSEWHERE, NOUNS, NOT_KNOWN = _LINES["elsewhere"], _LINES["nouns"], _LINES["not known"]
PLACES, PEOPLE, SYLLABLES = _LINES["places"], _LINES["people"], _LINES["syllables"]
SUMS = _LINES["sums"]
OPENINGS, VERBS, ANY_WORDS = _LINES["openings"], _LINES["verbs"], " ".join(_LINES["any words"]).split()
WANTED = {aspect: _LINES[f"wanted {aspect}"] for aspect in ("what", "why", "how")}
WITHOUT = {aspect: _LINES[f"free {aspect}"] for aspect in ("what", "why", "how")}
# where blanks at the ends matter, the file writes _ for them
BEFORE = [line.replace("_", " ") for line in _LINES["before"]]
AFTER = [line.replace("_", " ") for line in _LINES["after"]]
SYNONYMS = {
    words[0]: words[1:] for words in (line.replace("_", " ").split("=") for line in _LINES["synonyms"])
}
LOWER = {"Wh", "Ho", "Ex", "Ca", "Co", "De", "Te", "Gi", "Is", "Do", "Ar", "Sh"}
"""Beginnings that may lose their capital after a greeting."""
