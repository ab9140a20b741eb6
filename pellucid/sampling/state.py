"""What sampling must know of one running sample beside its logits: parameters, tokens so far, seed."""

from array import array
from collections.abc import Iterable, Sequence
from copy import copy
from secrets import randbits

from pellucid.sampling.draw import key
from pellucid.sampling.params import SamplingParams
from pellucid.sampling.rules import Rule


class TokenCounts:
    """The distinct tokens of prompt and output, each with how often it is in the output; O(1) a token."""

    def __init__(self, prompt_token_ids: Iterable[int]) -> None:
        self.ids = array("q", dict.fromkeys(prompt_token_ids))
        self.in_output = array("q", bytes(8 * len(self.ids)))
        self._place = {token: place for place, token in enumerate(self.ids)}
        self._counted = 0

    def copy(self) -> "TokenCounts":
        """The same counts, to go another way from here."""
        twin = copy(self)
        twin.ids, twin.in_output, twin._place = self.ids[:], self.in_output[:], dict(self._place)
        return twin

    def catch_up(self, output_token_ids: Sequence[int]) -> None:
        """Count the output tokens that came since the last call."""
        for token in output_token_ids[self._counted :]:
            place = self._place.setdefault(token, len(self.ids))
            if place == len(self.ids):
                self.ids.append(token)
                self.in_output.append(0)
            self.in_output[place] += 1
        self._counted = len(output_token_ids)


class SamplingState:
    """One running sample. Sampling reads it and never changes what it will draw."""

    def __init__(
        self,
        params: SamplingParams,
        prompt_token_ids: Sequence[int],
        output_token_ids: Sequence[int],
        *,
        sample_index: int = 0,
        seed: int | None = None,
        eos_token_ids: Sequence[int] = (),
        bad_word_ids: Sequence[Sequence[int]] = (),
        rules: Sequence[Rule] = (),
    ) -> None:
        """`output_token_ids` is the request's own growing list, read and never written. `seed` is used where
        `params.seed` is None; without either a fresh one is drawn. The samples of one prompt differ by
        `sample_index`. `bad_word_ids` are `params.bad_words` as `bad_words.bad_word_ids` gives them; `rules`
        are the checkpoint's.
        """
        self.params = params
        self.prompt_token_ids = prompt_token_ids
        self.output_token_ids = output_token_ids
        self.sample_index = sample_index
        own = seed if params.seed is None else params.seed
        self.seed = randbits(64) if own is None else own
        self.bad_word_ids = tuple(tuple(word) for word in bad_word_ids)
        self.rules = tuple(rules)
        self.ending_ids = tuple(sorted({*eos_token_ids, *params.stop_token_ids}))
        self.penalised = (
            params.repetition_penalty != 1 or params.presence_penalty != 0 or params.frequency_penalty != 0
        )
        self.filtered = (
            params.top_k > 0 or params.top_p < 1 or params.min_p > 0 or params.typical_p < 1
        )  # fmt: skip
        self._always_edited = bool(
            self.penalised or self.bad_word_ids or params.logit_bias or params.allowed_token_ids or self.rules
        )
        self._counts: TokenCounts | None = None

    @property
    def position(self) -> int:
        """Which output token comes next, from 0."""
        return len(self.output_token_ids)

    @property
    def must_go_on(self) -> bool:
        """Whether the tokens that end the output are still forbidden."""
        return self.position < self.params.min_tokens and bool(self.ending_ids)

    @property
    def edited(self) -> bool:
        """Whether the logits of this step are changed before temperature."""
        return self._always_edited or self.must_go_on

    def counts(self) -> TokenCounts:
        """Which tokens were seen and how often, up to date."""
        if self._counts is None:
            self._counts = TokenCounts(self.prompt_token_ids)
        self._counts.catch_up(self.output_token_ids)
        return self._counts

    def ahead(self, token_ids: Sequence[int]) -> "SamplingState":
        """This sample as it will be if these tokens come next."""
        if not token_ids:
            return self
        twin = copy(self)
        twin.output_token_ids = [*self.output_token_ids, *token_ids]
        twin._counts = self.counts().copy() if self.penalised else None
        return twin

    def key(self) -> int:
        """What the random numbers of the next token are made from."""
        return key(self.seed, self.sample_index, self.position)
