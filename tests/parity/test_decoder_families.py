"""Every decoder family equals transformers' own: logits, the token that wins, and 64 tokens of greedy text."""

import pytest
import torch
from parity.checkpoints import greedy, make, prompt, save
from parity.decoder_cases import CASES

from pellucid import LLM, SamplingParams

TOLERANCE = 1e-4


GREEDY = SamplingParams(temperature=0.0, max_tokens=64, ignore_eos=True)


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    """A case, transformers' model of it, and ours on the engine, read from what transformers saved."""
    case = CASES[request.param]
    theirs = make(case.model_type, case.fields)
    folder = save(theirs, tmp_path_factory.mktemp(request.param))
    llm = LLM(folder, device="cpu", skip_tokenizer_init=True, num_gpu_blocks_override=64, block_size=8)
    return case, theirs, llm


def test_every_tensor_finds_its_place(pair, cell) -> None:
    case, theirs, llm = pair
    cell(case.row, "loads")
    assert llm.footprint.num_parameters == theirs.num_parameters()


@torch.no_grad()
def test_logits_are_equal(pair, cell) -> None:
    case, theirs, llm = pair
    cell(case.row, "logits equal")
    for length in case.lengths:
        ids = prompt(length, theirs.config.vocab_size)
        expected_TV = theirs(torch.tensor([ids])).logits[0]
        logits_TV = llm.model.logits(ids)
        assert (logits_TV - expected_TV).abs().max() <= TOLERANCE
        assert logits_TV.argmax(-1).equal(expected_TV.argmax(-1))


def test_the_context_decides_the_winner(pair) -> None:
    """Otherwise equal winners would prove little: another first token changes many of those after it."""
    _, theirs, llm = pair
    ids = prompt(20, theirs.config.vocab_size)
    other = [(ids[0] + 1) % theirs.config.vocab_size, *ids[1:]]
    changed = llm.model.logits(ids).argmax(-1) != llm.model.logits(other).argmax(-1)
    assert changed[1:].sum() >= 5


@torch.no_grad()
def test_attention_maps_are_equal(pair) -> None:
    _, theirs, llm = pair
    ids = prompt(20, theirs.config.vocab_size)
    expected = theirs(torch.tensor([ids]), output_attentions=True).attentions
    trace = llm.trace({"prompt_token_ids": ids})
    for layer, maps_1HTT in enumerate(expected):
        for head, map_TT in enumerate(maps_1HTT[0]):
            assert (trace.attention(layer, head) - map_TT).abs().max() <= TOLERANCE


def test_greedy_text_is_equal(pair, cell) -> None:
    case, theirs, llm = pair
    cell(case.row, "greedy equal")
    ids = prompt(9, theirs.config.vocab_size)
    (output,) = llm.generate({"prompt_token_ids": ids}, GREEDY, use_tqdm=False)
    made = output.outputs[0].token_ids
    assert made == greedy(theirs, ids, 64)
    assert len(set(made)) >= 4
