"""vLLM's `speculative_config`, the dict that says how drafts are made, read into a Speculation."""

from collections.abc import Callable, Mapping
from typing import Any

from pellucid.engine.drafting import ModelSpeculation, NgramSpeculation, NoSpeculation, Speculation
from pellucid.errors import ConfigError
from pellucid.models.decoder import Decoder

ALLOWED = {
    "ngram": ("method", "num_speculative_tokens", "prompt_lookup_max", "prompt_lookup_min"),
    "draft_model": ("method", "num_speculative_tokens", "model"),
}


def read_speculative_config(
    given: Mapping[str, Any] | None, load_draft: Callable[[str], Decoder]
) -> Speculation:
    """`{"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3, "prompt_lookup_min": 1}` or
    `{"model": source, "num_speculative_tokens": 4}`; None is none.

    Raises ConfigError for an unknown method, key or value.
    """
    if given is None:
        return NoSpeculation()
    method = given.get("method", "draft_model" if "model" in given else None)
    if method not in ALLOWED:
        raise ConfigError(f"speculative_config method {method!r}: allowed are {', '.join(ALLOWED)}")
    for key in given:
        if key not in ALLOWED[method]:
            allowed = ", ".join(ALLOWED[method])
            raise ConfigError(f"speculative_config of {method} has no {key!r}: it has {allowed}")
    counts = {key: value for key, value in given.items() if key not in ("method", "model")}
    for key, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"speculative_config {key}={value!r}: give a whole number from 1")
    if method == "ngram":
        found = NgramSpeculation(**counts)
        if found.prompt_lookup_min > found.prompt_lookup_max:
            raise ConfigError(
                f"speculative_config looks up from {found.prompt_lookup_max} tokens "
                f"(prompt_lookup_max) down to {found.prompt_lookup_min} (prompt_lookup_min): swap them"
            )
        return found
    if "model" not in given:
        raise ConfigError("speculative_config of draft_model needs a model: a name, folder or hub id")
    return ModelSpeculation(model=load_draft(str(given["model"])), **counts)
