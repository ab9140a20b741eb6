"""Beam search finds what transformers finds, alone or in company, and its beams share their blocks."""

import pytest
import torch
from engine_runs import ask, make_engine, run
from tiny_models import tiny

from pellucid.errors import RequestError
from pellucid.models.loading import load_model
from pellucid.sampling.params import BeamSearchParams, SamplingParams

PROMPT = [3, 14, 15, 92, 65, 35, 89]
EOS = [7, 11, 23, 31, 42, 58, 64, 77, 85]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48, max_position_embeddings=128)  # fmt: skip
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=1.8 * parameter.shape[1] ** -0.5)
    return model.eval()


@pytest.fixture(scope="module")
def ours(theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    theirs.save_pretrained(folder)
    return load_model(folder, dtype="float32", device="cpu")


def search_theirs(model, prompt, width, eos, **options):
    from transformers import GenerationConfig

    config = GenerationConfig(
        num_beams=width, num_return_sequences=width, eos_token_id=eos or None, pad_token_id=0, do_sample=False,
        return_dict_in_generate=True, output_scores=True, **options,
    )  # fmt: skip
    ids = torch.tensor([prompt])
    found = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    texts = []
    for row, score in zip(
        found.sequences[:, len(prompt) :].tolist(), found.sequences_scores.tolist(), strict=True
    ):
        ends = [i for i, token in enumerate(row) if token in eos]
        texts.append((row[: ends[0] + 1] if ends else row, score))
    return texts


def search_ours(said, id="a"):
    return [(said[id, i][0], said[id, i][2].score) for i in range(len([key for key in said if key[0] == id]))]


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.5])
@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("width, eos", [(2, EOS[:2]), (4, EOS), (3, EOS[:1]), (4, [])], ids=str)
def test_the_texts_and_scores_are_those_of_transformers(
    theirs, ours, width, eos, early_stopping, length_penalty
):
    options = {"early_stopping": early_stopping, "length_penalty": length_penalty}
    params = BeamSearchParams(beam_width=width, max_tokens=12, **options)
    for start in range(2):
        prompt = PROMPT[start:]
        expected = search_theirs(theirs, prompt, width, eos, max_new_tokens=12, **options)
        got = search_ours(run(make_engine(ours, eos_token_ids=eos), [ask("a", prompt, params)]))
        assert [ids for ids, _ in got] == [ids for ids, _ in expected]
        torch.testing.assert_close([s for _, s in got], [s for _, s in expected], rtol=0, atol=1e-4)


def test_beams_in_company_and_under_preemption_find_the_same(ours):
    params = BeamSearchParams(beam_width=4, max_tokens=16)
    alone = search_ours(run(make_engine(ours, eos_token_ids=()), [ask("a", PROMPT, params)]))
    engine = make_engine(ours, eos_token_ids=(), num_blocks=24, max_num_seqs=10, max_num_batched_tokens=13)
    sampled = SamplingParams(temperature=0, max_tokens=60, ignore_eos=True)
    said = run(
        engine,
        [ask(0, PROMPT, sampled), ask("b", PROMPT, params), ask("a", PROMPT, params), ask(1, [5], sampled)],
    )
    assert [t for t, _ in search_ours(said, "a")] == [t for t, _ in alone]
    assert [t for t, _ in search_ours(said, "b")] == [t for t, _ in alone]
    assert any(step.preempted for step in engine.steps)


def test_beams_share_the_blocks_of_what_they_have_in_common(ours):
    engine = make_engine(ours, eos_token_ids=())
    engine.add(ask("a", PROMPT * 4, BeamSearchParams(beam_width=4, max_tokens=6)))
    most = 0
    while engine.has_work:
        engine.step()
        most = max(most, engine.scheduler.pool.num_in_use)
    assert most <= 7 + 4 * 2 < 4 * 9


def test_without_a_cache_the_search_is_the_same(ours):
    params = BeamSearchParams(beam_width=3, max_tokens=8)
    texts = [
        search_ours(run(make_engine(ours, eos_token_ids=EOS, use_cache=use), [ask("a", PROMPT, params)]))
        for use in (True, False)
    ]
    assert [t for t, _ in texts[0]] == [t for t, _ in texts[1]]


def test_a_search_can_be_aborted_and_one_that_cannot_fit_is_refused():
    engine = make_engine(tiny("llama"), num_blocks=16)
    engine.add(ask("a", PROMPT, BeamSearchParams(beam_width=3, max_tokens=8)))
    engine.step()
    assert [(o.index, o.finish_reason) for o in engine.abort("a")] == [
        (0, "abort"),
        (1, "abort"),
        (2, "abort"),
    ]
    assert engine.scheduler.pool.num_in_use == 0 and not engine.has_work
    with pytest.raises(RequestError, match="3 beams may need 18 blocks of 4 tokens, and the cache has 16"):
        engine.add(ask("b", PROMPT, BeamSearchParams(beam_width=3, max_tokens=17)))


def test_beams_that_wait_for_one_of_theirs_yield_to_a_request_of_better_rank(ours):
    params = BeamSearchParams(beam_width=4, max_tokens=12)
    alone = search_ours(run(make_engine(ours, eos_token_ids=()), [ask("a", PROMPT, params)]))
    engine = make_engine(ours, eos_token_ids=(), max_num_seqs=4, max_num_batched_tokens=8)
    urgent = SamplingParams(n=4, temperature=1.0, seed=1, max_tokens=5)

    def disturb(number):
        if number == 5:
            engine.scheduler.preempt(engine.scheduler.running[-1])
            engine.add(ask("urgent", PROMPT, urgent, priority=-1))

    said = run(engine, [ask("a", PROMPT, params)], before_step=disturb)
    assert [t for t, _ in search_ours(said, "a")] == [t for t, _ in alone]
    assert len(search_ours(said, "urgent")) == 4
