"""Which head of the guide model looks from "it" to its noun, and what happens without it.

    python -m recipes.guide_heads pellucid/guide

Heads are chosen on 100 sentences and scored on 500 others, with pairs of nouns that training never had
together. Each pair of nouns comes twice, in exchanged places and with the same right noun, so that in half of
the sentences it is the first and in half the nearest. A head is knocked out by making its output zero.
Letters: T tokens, H heads, K head size.
"""

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.kernels import reference
from pellucid.layers.attention import Attention
from pellucid.layers.context import DenseContext, Named
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.decoder import Decoder
from pellucid.models.loading import load_model
from pellucid.text import Tokenizer
from recipes.guide_sentences import ANIMAL_AND_THING, TWO_ANIMALS, Pronoun, agreement, exchanged

CHOSEN_ON, SCORED_ON, RANDOM_HEADS = 100, 500, 5
Head = tuple[int, int]


@dataclass(frozen=True)
class Case:
    """A sentence, the token that looks, and where it should and might look."""

    ids: list[int]
    looks: int
    right: int
    other: int


class Watched(DenseContext):
    """Keeps queries and keys, and silences heads."""

    def __init__(self, length: int, silent: set[Head] | None = None) -> None:
        super().__init__([length], reference)
        self.q: dict[int, Tensor] = {}
        self.k: dict[int, Tensor] = {}
        self.silent = silent or set()

    def tap(self, module: Named, name: str, tensor: Tensor) -> Tensor:
        if isinstance(module, Attention) and name == "q":
            self.q[module.index] = tensor
        if isinstance(module, Attention) and name == "k":
            self.k[module.index] = tensor
        if isinstance(module, Attention) and name == "z":
            for layer, head in self.silent:
                if layer == module.index:
                    tensor[:, head] = 0.0
        return tensor


def heads(model: Decoder) -> list[Head]:
    return [(a.index, head) for a in model.attentions for head in range(a.spec.num_heads)]


def place(pieces: list[str], word: str) -> int:
    """Where a word's last token is, the word being one or several tokens."""
    for end in range(len(pieces)):
        for start in range(end, max(end - 4, -1), -1):
            if "".join(pieces[start : end + 1]).strip() == word:
                return end
    raise AssertionError(f"{word!r} is not in {pieces}")


def sentences(kinds: tuple[int, int], count: int, seed: int) -> list[Pronoun]:
    """Pairs of sentences with the same two nouns in exchanged places."""
    rng = random.Random(seed)
    return [sentence for _ in range(count // 2) for sentence in exchanged(rng, kinds)]


def pronoun_cases(tokenizer: Tokenizer, drawn: list[Pronoun]) -> list[Case]:
    """Where "it" should look in each sentence."""
    cases = []
    for sentence in drawn:
        ids = tokenizer.encode(sentence.text)
        pieces = [tokenizer.decode([i]) for i in ids]
        right, other = place(pieces, sentence.right), place(pieces, sentence.other)
        cases.append(Case(ids, place(pieces, "it"), right, other))
    return cases


@torch.inference_mode()
def looks_right(model: Decoder, case: Case) -> dict[Head, bool]:
    """For each head, whether the token looks more at the right place than anywhere else but the beginning."""
    ctx = Watched(len(case.ids))
    model(torch.tensor(case.ids), ctx)
    found = {}
    for attention in model.attentions:
        q, k = ctx.q[attention.index][: case.looks + 1], ctx.k[attention.index][: case.looks + 1]
        pattern_HT = reference.attention_pattern(q, k, attention.spec)[:, -1]
        best_H = pattern_HT[:, 1:].argmax(-1) + 1
        for head, best in enumerate(best_H.tolist()):
            found[attention.index, head] = best == case.right
    return found


def shares(model: Decoder, cases: list[Case]) -> dict[Head, float]:
    """How often each head looks at the right place."""
    seen = [looks_right(model, case) for case in cases]
    return {head: sum(s[head] for s in seen) / len(seen) for head in heads(model)}


@torch.inference_mode()
def who_score(model: Decoder, tokenizer: Tokenizer, drawn: list[Pronoun], silent: set[Head]) -> float:
    """The share of "Who was tired?" where the right one of the two nouns is the likelier answer."""
    right = 0
    for sentence in drawn:
        asked = f"<|begin|><|user|>{sentence.text} Who {sentence.reason}?<|end|><|assistant|>The"
        start = tokenizer.encode(asked, add_special_tokens=False)
        scores = []
        for name in (sentence.right, sentence.other):
            tail = tokenizer.encode(f" {name}.", add_special_tokens=False)
            ids = torch.tensor(start + tail)
            logp = model(ids, Watched(len(ids), silent)).log_softmax(-1)
            scores.append(sum(logp[len(start) + i - 1, t].item() for i, t in enumerate(tail)))
        right += scores[0] > scores[1]
    return right / len(drawn)


def agreement_cases(tokenizer: Tokenizer, starts: list[str]) -> list[Case]:
    """The token before the verb should look at the first noun, not at the nearer second one."""
    cases = []
    for start in starts:
        ids = tokenizer.encode(start)
        pieces = [tokenizer.decode([i]) for i in ids]
        first = start.split()[1]
        cases.append(Case(ids, len(ids) - 1, place(pieces, first), len(ids) - 1))
    return cases


def agreements(count: int, seed: int) -> list[tuple[str, bool]]:
    """Sentences up to their verb, and whether it is a plural."""
    rng = random.Random(seed)
    return [agreement(rng, test=True)[1:] for _ in range(count)]


@torch.inference_mode()
def verb_score(
    model: Decoder, tokenizer: Tokenizer, drawn: list[tuple[str, bool]], silent: set[Head]
) -> float:
    """The share of sentences after which the right one of "is" and "are" is the likelier."""
    one, many = (tokenizer.encode(verb, add_special_tokens=False)[0] for verb in (" is", " are"))
    right = 0
    for start, plural in drawn:
        ids = torch.tensor(tokenizer.encode(start))
        last_V = model(ids, Watched(len(ids), silent))[-1]
        right += bool(last_V[many] > last_V[one]) == plural
    return right / len(drawn)


def without_each(model: Decoder, best: Head, score: Callable[[set[Head]], float]) -> None:
    """Print what is right with all heads, without the chosen one, and without each of some random others."""
    print(f"    with all heads: {score(set()):.1%}")
    print(f"    without head {best[0]}.{best[1]}: {score({best}):.1%}")
    others = [head for head in heads(model) if head != best]
    for head in random.Random(4).sample(others, RANDOM_HEADS):
        print(f"    without head {head[0]}.{head[1]}: {score({head}):.1%}")


def report(model: Decoder, tokenizer: Tokenizer, kinds: tuple[int, int], seed: int) -> None:
    """The head for "it" in such sentences, and what "Who was tired?" loses without it and without others."""
    chosen_on = shares(model, pronoun_cases(tokenizer, sentences(kinds, CHOSEN_ON, seed)))
    best = max(chosen_on, key=lambda head: chosen_on[head])
    drawn = sentences(kinds, SCORED_ON, seed + 1)
    cases = pronoun_cases(tokenizer, drawn)
    first = sum(case.right < case.other for case in cases) / len(cases)
    print(f"  the first noun is right in {first:.1%}, the nearest in {1 - first:.1%}")
    scored = shares(model, cases)[best]
    print(f"  head {best[0]}.{best[1]} looks from 'it' to the right noun in {scored:.1%} of {len(cases)}")
    print("  'Who was tired?' answered rightly")
    without_each(model, best, lambda silent: who_score(model, tokenizer, drawn, silent))


def report_agreement(model: Decoder, tokenizer: Tokenizer) -> None:
    """The head that looks at the verb's subject, and what "is" or "are" loses without it and others."""
    drawn = agreements(SCORED_ON, seed=6)
    chosen_on = shares(model, agreement_cases(tokenizer, [s for s, _ in agreements(CHOSEN_ON, seed=5)]))
    best = max(chosen_on, key=lambda head: chosen_on[head])
    scored = shares(model, agreement_cases(tokenizer, [start for start, _ in drawn]))[best]
    print(f"  head {best[0]}.{best[1]} looks from before the verb to its subject in {scored:.1%}")
    print("  'is' or 'are' chosen rightly")
    without_each(model, best, lambda silent: verb_score(model, tokenizer, drawn, silent))


def main() -> None:
    model, tokenizer = load_model(sys.argv[1]), open_checkpoint(sys.argv[1]).tokenizer()
    assert isinstance(model, Decoder)
    print("two animals (The cat chased the dog / The dog helped the cat):")
    report(model, tokenizer, TWO_ANIMALS, seed=1)
    print("an animal and a thing (The cat sat on the mat / The mat lay under the cat):")
    report(model, tokenizer, ANIMAL_AND_THING, seed=3)
    print("a verb and its subject (The cat near the dogs is):")
    report_agreement(model, tokenizer)


if __name__ == "__main__":
    main()
