"""Text that outgrows the length a model was trained at equals transformers': alone, in company, in chunks."""

import pytest
from parity.checkpoints import greedy, make, prompt, save
from parity.decoder_cases import GROUPED, longrope, rope

from pellucid import LLM, SamplingParams

COUNT = 40
GREEDY = SamplingParams(temperature=0.0, max_tokens=COUNT, ignore_eos=True)
# the original length is 24: prompts that stay below for long, cross soon, cross at once, and begin beyond
LENGTHS = (3, 20, 23, 24, 25, 50)

CHECKPOINTS = {
    "phi3 longrope": ("phi3", {**GROUPED, **longrope(4)}),
    "phi3 partial longrope": (
        "phi3",
        {**GROUPED, "hidden_size": 64, **longrope(6, partial_rotary_factor=0.75)},
    ),
    "llama dynamic": ("llama", {**GROUPED, **rope("dynamic", factor=4.0), "max_position_embeddings": 24}),
}


@pytest.fixture(scope="module", params=CHECKPOINTS)
def checkpoint(request, tmp_path_factory):
    """The folder, the prompts, and what transformers makes of each prompt alone."""
    model_type, fields = CHECKPOINTS[request.param]
    prompts = [prompt(length, 97, seed=length) for length in LENGTHS]
    # dynamic NTK in transformers remembers the longest sequence it saw: a fresh model for each prompt
    expected = [greedy(make(model_type, fields), ids, COUNT) for ids in prompts]
    folder = save(make(model_type, fields), tmp_path_factory.mktemp("stretched"))
    return folder, prompts, expected


def texts(checkpoint, **options):
    """The tokens made for all prompts at once by an engine with these options."""
    folder, prompts, _ = checkpoint
    llm = LLM(folder, device="cpu", skip_tokenizer_init=True, block_size=8, **options)
    outputs = llm.generate([{"prompt_token_ids": ids} for ids in prompts], GREEDY, use_tqdm=False)
    return [output.outputs[0].token_ids for output in outputs]


def test_alone(checkpoint) -> None:
    assert texts(checkpoint, num_gpu_blocks_override=64, max_num_seqs=1) == checkpoint[2]


def test_in_company(checkpoint) -> None:
    assert texts(checkpoint, num_gpu_blocks_override=128) == checkpoint[2]


def test_in_chunks(checkpoint) -> None:
    options = {"num_gpu_blocks_override": 128, "max_num_seqs": 6, "max_num_batched_tokens": 7}
    assert texts(checkpoint, **options) == checkpoint[2]


def test_preempted_for_want_of_blocks(checkpoint) -> None:
    assert texts(checkpoint, num_gpu_blocks_override=14, max_num_seqs=6) == checkpoint[2]
