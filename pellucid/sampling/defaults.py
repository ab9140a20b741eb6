"""What a checkpoint's generation_config.json says of sampling and stopping, and how it is said to people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.errors import ConfigError
from pellucid.sampling.params import SamplingParams

DRAWN = ("temperature", "top_k", "top_p", "min_p", "typical_p")
"""Fields that hold only together with `do_sample`."""
NEUTRAL: dict[str, tuple[float, ...]] = {
    "temperature": (),
    "top_k": (0, -1),
    "top_p": (1.0,),
    "min_p": (0.0,),
    "typical_p": (1.0,),
    "repetition_penalty": (1.0,),
}


@dataclass(frozen=True)
class GenerationDefaults:
    """The fields of a generation_config.json; empty where the checkpoint has none."""

    said: Mapping[str, Any]

    def params(self, **changes: Any) -> SamplingParams:
        """The checkpoint's own parameters, greedy where it does not say `do_sample`, with these changes.

        Raises ConfigError naming the file where one of its values is not allowed.
        """
        values: dict[str, Any] = {"temperature": 0.0}
        if self.said.get("do_sample"):
            values = {name: self.said[name] for name in DRAWN if self.said.get(name) is not None}
        renamed = {"repetition_penalty": "repetition_penalty", "max_new_tokens": "max_tokens"}
        values |= {ours: self.said[name] for name, ours in renamed.items() if self.said.get(name) is not None}
        try:
            SamplingParams(**values)
        except ValueError as error:
            raise ConfigError(f"generation_config.json: {error}") from error
        return SamplingParams(**(values | changes))

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The tokens that end an answer; empty where it does not say."""
        ids = self.said.get("eos_token_id")
        if ids is None:
            return ()
        listed = ids if isinstance(ids, list) else [ids]
        if not all(isinstance(i, int) for i in listed):
            raise ConfigError(f"generation_config.json: `eos_token_id` is {ids!r}; it must be ids or one id")
        return tuple(listed)

    def in_words(self) -> str:
        """How tokens are chosen where a caller says nothing, in a line for people."""
        beams = self.said.get("num_beams")
        searched = f"; translations and summaries are searched for with {beams} beams"
        return in_words(self.params()) + (searched if isinstance(beams, int) and beams > 1 else "")


def in_words(params: SamplingParams) -> str:
    """How tokens are chosen, in a line for people."""
    if params.temperature == 0:
        return "taken greedily, the likeliest each time"
    values = {name: getattr(params, name) for name in NEUTRAL}
    parts = [f"{name} {value:g}" for name, value in values.items() if value not in NEUTRAL[name]]
    return f"drawn by chance ({', '.join(parts)})"
