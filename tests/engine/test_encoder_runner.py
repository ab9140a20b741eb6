"""An encoder's pass played from its tape gives what the model gives, to the same bits in any company."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import transformers
from parity import random_models
from parity.encoder_cases import CASES, SMALL

from pellucid.engine.encoder_runner import PlainEncoder, TapedEncoder
from pellucid.kernels import reference, torch_ops
from pellucid.kernels.cpu import library
from pellucid.models.loading import load_model

LOADED = library.load()
pytestmark = pytest.mark.skipif(isinstance(LOADED, str), reason=f"no compiled library: {LOADED}")
LENGTHS = (7, 30, 1, 17, 30, 16, 12)


def opened(case, folder):
    published = random_models.make(getattr(transformers, case[0]), case[1])
    return load_model(random_models.save(published, folder), dtype="float32", device="cpu")


def texts(lengths=LENGTHS):
    return [random_models.ids(n, 60, seed=n + i) for i, n in enumerate(lengths)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{len(case[1])}")
def test_every_family_is_played_and_equals_the_reference(case, tmp_path) -> None:
    model = opened(case, tmp_path)
    runner, packed = TapedEncoder(model, LOADED), torch.cat(texts())
    expected = PlainEncoder(model, reference).hidden(packed, LENGTHS).detach()
    played = runner.hidden(packed, LENGTHS)
    torch.testing.assert_close(played, expected, atol=1e-4, rtol=0)
    with torch.inference_mode():
        eager = model.hidden(packed, runner.context(LENGTHS))
    assert torch.equal(played, eager), "what is watched runs operation by operation, to the same bits"
    alone = [runner.hidden(ids, [len(ids)]) for ids in texts()]
    assert torch.equal(played, torch.cat(alone)), "the same bits in any company"


def test_several_threads_ask_at_once(tmp_path) -> None:
    runner = TapedEncoder(opened(("BertModel", SMALL), tmp_path), LOADED)
    expected = [runner.hidden(ids, [len(ids)]) for ids in texts()]
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(runner.hidden, ids, [len(ids)]) for ids in texts() * 20]
        found = [one.result() for one in asked]
    assert all(torch.equal(a, b) for a, b in zip(found, expected * 20, strict=True))


def test_more_than_the_tape_holds_runs_without_it(tmp_path) -> None:
    model = opened(("BertModel", SMALL), tmp_path)
    runner, many = TapedEncoder(model, LOADED), (3,) * 700 + (40,) * 3
    packed = torch.cat(texts(many))
    expected = PlainEncoder(model, torch_ops).hidden(packed, many).detach()
    torch.testing.assert_close(runner.hidden(packed, many), expected, atol=1e-4, rtol=0)
