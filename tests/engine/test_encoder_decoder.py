"""Encoder-decoders on the paged engine write what transformers' `generate` writes, in any company."""

import random

import pytest
import torch
import transformers
from engine_runs import check_books, run
from parity import random_models
from parity.encoder_decoder_cases import CASES
from tiny_models import tiny

from pellucid.engine.encoder_decoder_runner import EncoderDecoderRunner
from pellucid.engine.engine import Engine
from pellucid.engine.memory import Source
from pellucid.engine.request import Request
from pellucid.errors import RequestError
from pellucid.kernels import torch_ops
from pellucid.models.loading import load_model
from pellucid.sampling.params import BeamSearchParams, SamplingParams
from pellucid.sampling.rules import LastIs, Never, NoRepeatedRun, NotBefore

LENGTH = 14
GREEDY = SamplingParams(temperature=0, max_tokens=LENGTH)
NAMES = ("t5", "marian", "bart")


@pytest.fixture(scope="module", params=NAMES)
def pair(request, tmp_path_factory):
    class_name, fields = CASES[request.param]
    # with a head of its own, or each token would only repeat itself
    published = random_models.make(getattr(transformers, class_name), fields | {"tie_word_embeddings": False})
    published.generation_config.forced_eos_token_id = None
    with torch.no_grad():
        published.lm_head.weight = torch.nn.Parameter(torch.randn_like(published.lm_head.weight))
        for name, parameter in published.named_parameters():
            if "EncDecAttention" in name or "encoder_attn.q_proj" in name or "encoder_attn.out_proj" in name:
                parameter *= 3
    folder = random_models.save(published, tmp_path_factory.mktemp(request.param))
    return published, load_model(folder, dtype="float32", device="cpu")


def make_engine(ours, **options) -> Engine:
    given = {"kernels": torch_ops, "num_blocks": 400, "block_size": 4, "max_model_len": 40}
    return Engine(ours, make_runner=EncoderDecoderRunner, **{**given, **options})


def ask(ours, id, ids, params=GREEDY, **more) -> Request:
    source = Source(list(ids), len(ids), tuple(ids))
    start = [ours.config.decoder_start_token_id]
    return Request(id=str(id), prompt_token_ids=start, params=params, source=source, **more)


def sources(count: int) -> list[list[int]]:
    rng = random.Random(0)
    return [random_models.ids(rng.randint(1, 40), 49, seed=i).tolist() for i in range(count)]


def generate(published, ids, **options) -> list[int]:
    settings = {"max_new_tokens": LENGTH, "do_sample": False, **options}
    made = published.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), **settings)
    return made[0, 1:].tolist()


def texts_of(said) -> dict[str, list[int]]:
    return {id: ids for (id, index), (ids, _, _) in said.items() if index == 0}


@pytest.mark.parametrize("num_beams", [1, 4])
def test_the_same_tokens_as_generate_alone_and_16_together(pair, num_beams) -> None:
    published, ours = pair
    params = GREEDY
    if num_beams > 1:
        params = BeamSearchParams(beam_width=num_beams, max_tokens=LENGTH)
    expected = {str(i): generate(published, ids, num_beams=num_beams) for i, ids in enumerate(sources(16))}
    assert len({tuple(ids) for ids in expected.values()}) >= 12, "the sources decide what is written"
    requests = [ask(ours, i, ids, params) for i, ids in enumerate(sources(16))]
    together = texts_of(run(make_engine(ours), requests))
    assert together == expected
    for request in requests[:4]:
        assert texts_of(run(make_engine(ours), [request]))[request.id] == expected[request.id]


def test_64_together_write_what_64_alone_do(pair) -> None:
    _, ours = pair
    requests = [ask(ours, i, ids) for i, ids in enumerate(sources(64))]
    together = texts_of(run(make_engine(ours), requests))
    engine = make_engine(ours)
    assert together == {id: ids for r in requests for id, ids in texts_of(run(engine, [r])).items()}


@pytest.mark.parametrize(
    ("options", "beams"),
    [
        ({"length_penalty": 2.0, "early_stopping": True}, {"length_penalty": 2.0, "early_stopping": True}),
        (
            {"length_penalty": 0.2, "early_stopping": "never"},
            {"length_penalty": 0.2, "early_stopping": "never"},
        ),
        ({"length_penalty": -1.0}, {"length_penalty": -1.0}),
    ],
)
def test_published_ways_of_searching(pair, options, beams) -> None:
    published, ours = pair
    params = BeamSearchParams(beam_width=4, max_tokens=LENGTH, **beams)
    requests = [ask(ours, i, ids, params) for i, ids in enumerate(sources(4))]
    written = texts_of(run(make_engine(ours), requests))
    for i, ids in enumerate(sources(4)):
        assert written[str(i)] == generate(published, ids, num_beams=4, **options)


@pytest.mark.parametrize("num_beams", [1, 4])
def test_published_rules(pair, num_beams) -> None:
    """As summarisers are published: a shortest length, no repeated runs, words never written, a forced end."""
    published, ours = pair
    eos = ours.config.eos_token_ids
    options = {
        "min_new_tokens": 8,
        "no_repeat_ngram_size": 2,
        "forced_eos_token_id": eos[0],
        "bad_words_ids": [[7], [9]],
    }
    rules = (NoRepeatedRun(2), Never((7, 9)), NotBefore(eos, 8), LastIs(eos[0], LENGTH))
    params = GREEDY
    if num_beams > 1:
        params = BeamSearchParams(beam_width=num_beams, max_tokens=LENGTH)
    requests = [ask(ours, i, ids, params, rules=rules) for i, ids in enumerate(sources(4))]
    written = texts_of(run(make_engine(ours), requests))
    for i, ids in enumerate(sources(4)):
        assert written[str(i)] == generate(published, ids, num_beams=num_beams, **options)


def test_tiny_pools_chunks_and_no_cache_change_nothing(pair) -> None:
    _, ours = pair
    both = [GREEDY, BeamSearchParams(beam_width=3, max_tokens=LENGTH)]
    requests = [ask(ours, i, ids, both[i % 2]) for i, ids in enumerate(sources(10))]
    expected = texts_of(run(make_engine(ours), requests))
    tight = make_engine(ours, num_blocks=22, max_num_seqs=8, max_num_batched_tokens=9)
    assert texts_of(run(tight, requests)) == expected
    assert tight.totals.preemptions > 0
    assert texts_of(run(make_engine(ours, enable_prefix_caching=False), requests)) == expected
    assert texts_of(run(make_engine(ours, use_cache=False), requests)) == expected


def test_samples_of_one_source_share_what_was_read(pair) -> None:
    _, ours = pair
    engine = make_engine(ours)
    params = SamplingParams(n=4, seed=1, temperature=3.0, max_tokens=8, ignore_eos=True)
    engine.add(ask(ours, "four", [5, 6, 7] * 12, params))
    engine.step()
    engine.step()
    assert engine.scheduler.pool.num_in_use <= 36 // 4 + 4
    check_books(engine)
    said = run(engine)
    assert len({tuple(ids) for ids, _, _ in said.values()}) == 4


def test_random_company_leaves_nothing_behind(pair) -> None:
    _, ours = pair
    rng = random.Random(1)
    engine = make_engine(ours, num_blocks=48, max_num_seqs=8, max_num_batched_tokens=16)
    wanted = sources(12)
    for step in range(60):
        if step < 40 and rng.random() < 0.4:
            params = rng.choice([GREEDY, BeamSearchParams(beam_width=2, max_tokens=6)])
            engine.add(ask(ours, step, rng.choice(wanted), params))
        if rng.random() < 0.1 and engine.has_work:
            engine.abort(str(rng.randrange(step + 1)))
        engine.step()
        check_books(engine)
    run(engine)
    assert engine.scheduler.pool.num_in_use == 0


def test_what_can_never_be_served_is_refused_at_once(pair) -> None:
    _, ours = pair
    engine = make_engine(ours, num_blocks=12)
    with pytest.raises(RequestError, match="source"):
        engine.add(Request(id="none", prompt_token_ids=[0], params=GREEDY))
    with pytest.raises(RequestError, match="encoder reads from 1 to"):
        engine.add(ask(ours, "long", [5] * 5000))
    with pytest.raises(RequestError, match="encoder reads from 1 to"):
        engine.add(ask(ours, "empty", []))
    with pytest.raises(RequestError, match="12"):
        engine.add(ask(ours, "much", [5] * 40))


def test_a_decoder_on_another_engine_is_not_disturbed(pair) -> None:
    _, ours = pair
    decoder = tiny("llama")
    prompts = [[5, 9, 3], [7] * 6, [2, 4, 8, 6]]
    asked = [Request(id=str(i), prompt_token_ids=ids, params=GREEDY) for i, ids in enumerate(prompts)]
    options = {"kernels": torch_ops, "num_blocks": 64, "block_size": 4}
    expected = texts_of(run(Engine(decoder, **options), asked))
    other = make_engine(ours)
    for i, ids in enumerate(sources(6)):
        other.add(ask(ours, i, ids))
    assert texts_of(run(Engine(decoder, **options), asked, lambda number: other.step())) == expected
    run(other)


def test_a_source_that_is_known_is_not_read_again(pair) -> None:
    _, ours = pair
    engine = make_engine(ours)
    reads = []
    encode = engine.runner.encode
    engine.runner.encode = lambda sources, wrap=None: (reads.extend(sources), encode(sources, wrap))[1]
    first = run(engine, [ask(ours, "a", [5, 6, 7, 8, 9])])["a", 0][0]
    assert run(engine, [ask(ours, "b", [5, 6, 7, 8, 9])])["b", 0][0] == first
    assert len(reads) == 1
    assert run(engine, [ask(ours, "c", [5, 6, 7, 8, 9], cache_key="tenant")])["c", 0][0] == first
    assert run(engine, [ask(ours, "d", [5, 6, 7, 8, 9], whole_prompt=True)])["d", 0][0] == first
    run(engine, [ask(ours, "e", [5, 6, 7, 8])])
    assert len(reads) == 4, "another tenant, a watched request and another source are read"
    plain = make_engine(ours, enable_prefix_caching=False)
    for id in "ab":
        assert run(plain, [ask(ours, id, [5, 6, 7, 8, 9])])[id, 0][0] == first
