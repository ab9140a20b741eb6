"""Finds the chat templates of a checkpoint's folder."""

from collections.abc import Mapping
from pathlib import Path

from pellucid.text.chat import ChatTemplate
from pellucid.text.tokenizer_config import TokenizerConfig, damaged, read_json


def read_chat_template(config: TokenizerConfig, special_tokens: Mapping[str, str]) -> ChatTemplate | None:
    """The folder's templates: the .jinja files, else the config's own entry."""
    sources = {**_listed(config), **_files(config.folder)}
    if not sources:
        return None
    names: dict[str, str | list[str]] = {**special_tokens}
    if config.extra_special:  # some templates write them by their place in the list
        names["additional_special_tokens"] = [token.content for token in config.extra_special]
    return ChatTemplate(sources["default"] if sources.keys() == {"default"} else sources, names)


def _files(folder: Path) -> dict[str, str]:
    single = folder / "chat_template.jinja"
    paths = {path.stem: path for path in sorted((folder / "additional_chat_templates").glob("*.jinja"))}
    if single.is_file():
        paths["default"] = single
    try:
        return {name: path.read_text(encoding="utf-8-sig") for name, path in paths.items()}
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(folder / "chat_template.jinja", error) from error


def _listed(config: TokenizerConfig) -> dict[str, str]:
    beside = read_json(config.folder / "chat_template.json")  # where processors keep it
    entry = config.settings.get("chat_template") or beside.get("chat_template")
    match entry:
        case None | "":
            return {}
        case str():
            return {"default": entry}
        case dict():
            pairs = list(entry.items())
        case list() if all(isinstance(item, dict) for item in entry):  # several, by name
            pairs = [(item.get("name"), item.get("template")) for item in entry]
        case _:
            pairs = [(None, None)]
    named = {name: source for name, source in pairs if isinstance(name, str) and isinstance(source, str)}
    if len(named) < len(pairs):
        raise damaged(
            config.folder / "tokenizer_config.json", "its chat_template holds something but templates"
        )
    return named
