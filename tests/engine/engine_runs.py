"""Running an engine to the end, and what a model says without one."""

import torch

from pellucid.engine.engine import Engine
from pellucid.engine.request import Request
from pellucid.kernels import torch_ops
from pellucid.sampling.params import SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=24, logprobs=3, ignore_eos=True)


def make_engine(model, **options):
    return Engine(model, **{"kernels": torch_ops, "num_blocks": 128, "block_size": 4, **options})


def ask(id, prompt, params=GREEDY, **more):
    return Request(id=str(id), prompt_token_ids=prompt, params=params, **more)


def run(engine, requests=(), before_step=lambda number: None):
    """Everything each sample said: {(request id, index): (token ids, logprobs, last output)}."""
    for request in requests:
        engine.add(request)
    said = {}
    number = 0
    while engine.has_work:
        before_step(number)
        number += 1
        for output in engine.step():
            ids, logprobs, _ = said.get((output.request_id, output.index), ([], [], None))
            ids += [token.token_id for token in output.tokens]
            logprobs += [token.logprob for token in output.tokens]
            said[output.request_id, output.index] = ids, logprobs, output
        check_books(engine)
    assert engine.scheduler.pool.num_in_use == 0, "an idle engine holds nothing"
    return said


def check_books(engine):
    engine.scheduler.pool.check()
    engine.scheduler.prefix.check()


def assert_same(model, prompt, got, expected):
    """The same ids and logprobs; a difference is allowed only where the two best logits are closer than 1e-4."""
    (ids, logprobs, _), (expected_ids, expected_logprobs, _) = got, expected
    for place, (a, b) in enumerate(zip(ids, expected_ids, strict=True)):
        if a != b:
            best = model.logits([*prompt, *ids[:place]])[-1].topk(2).values
            margin = float(best[0] - best[1])
            assert margin < 1e-4, f"token {place}: {a}, not {b}, though the best logits are {margin} apart"
            print(f"token {place}: {a}, not {b}: the two best logits are {margin} apart")
            return
    torch.testing.assert_close(torch.tensor(logprobs), torch.tensor(expected_logprobs), rtol=0, atol=1e-4)


def greedy_by_hand(model, prompt, count):
    """The next `count` tokens by one whole forward for each."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model.logits(ids)[-1].argmax()))
    return ids[len(prompt) :]
