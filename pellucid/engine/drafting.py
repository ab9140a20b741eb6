"""Speculative decoding: cheap guesses at the next tokens, which one step of the model then verifies together.

Drafts never change which tokens come out (`sampled.py`), only how many steps it takes to find them.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

from pellucid.engine.batch import Copies, Piece, build_batch
from pellucid.engine.request import Sample
from pellucid.engine.runner import Runs, Served
from pellucid.engine.scheduler import Plan, Share
from pellucid.errors import ConfigError
from pellucid.sampling.sampler import choose
from pellucid.sampling.state import SamplingState


class Drafter(Protocol):
    """Fills in the `drafts` of a plan's shares, at most `draft_room` each."""

    def propose(self, plan: Plan) -> None: ...


class Speculation(Protocol):
    """How an engine guesses."""

    @property
    def num_speculative_tokens(self) -> int: ...

    @property
    def models(self) -> tuple[Served, ...]:
        """Models beside the engine's own whose keys and values lie in its blocks."""

    def drafter(self, setting: "Setting") -> Drafter: ...


@dataclass(frozen=True)
class Setting:
    """What a drafter may need of its engine."""

    target: Served
    runner_of: Callable[[Served], Runs]
    block_size: int
    state_of: Callable[[Sample], SamplingState]


class NoDrafter:
    """Guesses nothing."""

    def propose(self, plan: Plan) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class NoSpeculation:
    """One token a step."""

    num_speculative_tokens: int = 0
    models: tuple[Served, ...] = ()

    def drafter(self, setting: Setting) -> Drafter:
        return NoDrafter()


@dataclass(frozen=True, kw_only=True)
class NgramSpeculation:
    """Guess that what followed the newest tokens last time follows them again (Saxena 2023, "Prompt Lookup
    Decoding"; vLLM's method "ngram")."""

    num_speculative_tokens: int = 4
    prompt_lookup_max: int = 3
    """How many of the newest tokens to look for at first; then fewer."""
    prompt_lookup_min: int = 1
    models: tuple[Served, ...] = ()

    def drafter(self, setting: Setting) -> Drafter:
        return NgramDrafter(self)


@dataclass(frozen=True, kw_only=True)
class ModelSpeculation:
    """Let a smaller model with the same vocabulary guess (Leviathan et al. 2023; Chen et al. 2023)."""

    model: Served
    num_speculative_tokens: int = 4

    @property
    def models(self) -> tuple[Served, ...]:
        return (self.model,)

    def drafter(self, setting: Setting) -> Drafter:
        """Raises ConfigError where the two models do not share a vocabulary."""
        sizes = self.model.config.vocab_size, setting.target.config.vocab_size
        if sizes[0] != sizes[1]:
            raise ConfigError(
                f"the draft model has {sizes[0]} tokens and the model {sizes[1]}: "
                "a draft model must share the vocabulary"
            )
        return ModelDrafter(setting.runner_of(self.model), setting.block_size, setting.state_of)


class NgramDrafter:
    """Looks the newest tokens up among all before them; the longest match counts, and of those the latest."""

    def __init__(self, config: NgramSpeculation) -> None:
        self._sizes = range(config.prompt_lookup_max, config.prompt_lookup_min - 1, -1)

    def propose(self, plan: Plan) -> None:
        for share in plan.shares:
            if share.draft_room:
                share.drafts = self.look_up(share.sample.token_ids, share.draft_room)

    def look_up(self, token_ids: list[int], count: int) -> list[int]:
        """What followed the newest tokens the last time they were there, at most `count` tokens."""
        text = array("i", token_ids).tobytes()
        width = array("i").itemsize
        for size in self._sizes:
            wanted = text[-size * width :]
            at = text.rfind(wanted, 0, len(text) - width) if len(token_ids) > size else -1
            while at > 0 and at % width:  # a match that begins inside a token is none
                at = text.rfind(wanted, 0, at + len(wanted) - 1)
            if at >= 0 and at % width == 0:
                end = at // width + size
                return token_ids[end : end + count]
        return []


class ModelDrafter:
    """Runs a small model ahead. Its keys and values lie in the same blocks as the model's own, in tensors of
    their own, so that sharing, copying and the prefix cache serve both."""

    def __init__(self, runner: Runs, block_size: int, state_of: Callable[[Sample], SamplingState]) -> None:
        self._runner = runner
        self._block_size = block_size
        self._state_of = state_of
        self._known: WeakKeyDictionary[Sample, int] = WeakKeyDictionary()
        """How many tokens of a sample this model has computed; one it never saw began with blocks that it
        computed for another."""

    def propose(self, plan: Plan) -> None:
        guessing = [share for share in plan.shares if share.draft_room]
        self._catch_up(plan, guessing)
        turn = 1
        while guessing := [share for share in guessing if turn < share.draft_room]:
            pieces = [
                Piece(share.sample, share.drafts[-1:], len(share.sample.token_ids) + turn - 1, 1)
                for share in guessing
            ]
            self._guess(pieces, guessing)
            turn += 1

    def _catch_up(self, plan: Plan, guessing: list[Share]) -> None:
        """Compute what the model itself has computed or is about to, and make the first guesses from it."""
        pieces = []
        for share in plan.shares:
            sample = share.sample
            start = min(self._known.get(sample, share.start), share.start)
            pieces.append(
                Piece(sample, sample.token_ids[start : share.end], start, int(share.draft_room > 0))
            )
        self._guess(pieces, guessing, plan.copies)

    def _guess(self, pieces: list[Piece], guessing: list[Share], copies: Copies = ()) -> None:
        logits_RV = self._runner.run(build_batch(pieces, self._block_size, copies))
        for piece in pieces:
            self._known[piece.sample] = piece.start + len(piece.token_ids)
        states = [self._state_of(share.sample).ahead(share.drafts) for share in guessing]
        # the same random number as the token it guesses at will be drawn with, so that they often agree
        for share, token in zip(guessing, choose(logits_RV, states) if states else [], strict=True):
            share.drafts.append(max(token.token_id, 0))
