"""Every decoder family equals transformers' own: logits, the token that wins, and 64 tokens of greedy text."""

import pytest
import torch
from parity.checkpoints import make, prompt, save
from parity.decoder_cases import CASES

from pellucid.models.loading import load_model

TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    """A case, transformers' model of it, and ours read from what transformers saved."""
    case = CASES[request.param]
    theirs = make(case.model_type, case.fields)
    folder = save(theirs, tmp_path_factory.mktemp(request.param))
    return case, theirs, load_model(folder, device="cpu")


@torch.no_grad()
def test_logits_are_equal(pair) -> None:
    case, theirs, ours = pair
    for length in case.lengths:
        ids = prompt(length, theirs.config.vocab_size)
        expected_TV = theirs(torch.tensor([ids])).logits[0]
        logits_TV = ours.logits(ids)
        assert (logits_TV - expected_TV).abs().max() <= TOLERANCE
        assert logits_TV.argmax(-1).equal(expected_TV.argmax(-1))


def test_the_context_decides_the_winner(pair) -> None:
    """Otherwise equal winners would prove little: another first token changes many of those after it."""
    _, theirs, ours = pair
    ids = prompt(20, theirs.config.vocab_size)
    other = [(ids[0] + 1) % theirs.config.vocab_size, *ids[1:]]
    changed = ours.logits(ids).argmax(-1) != ours.logits(other).argmax(-1)
    assert changed[1:].sum() >= 5


@torch.no_grad()
def test_greedy_text_is_equal(pair) -> None:
    _, theirs, ours = pair
    ids = prompt(9, theirs.config.vocab_size)
    made = theirs.generate(torch.tensor([ids]), max_new_tokens=64, do_sample=False, pad_token_id=0)
    for _ in range(64):
        ids.append(int(ours.logits(ids)[-1].argmax()))
    assert ids == made[0].tolist()
    assert len(set(ids[9:])) >= 4
