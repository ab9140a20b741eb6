"""Every decoder family with LoRA adapters says what transformers says with them merged: alone and mixed in one
batch, from the prefix cache too."""

import warnings

import peft
import pytest
import torch
from models.gguf_writing import write_gguf
from parity.checkpoints import greedy, make, prompt, save
from parity.decoder_cases import CASES

from pellucid import LLM, LoRARequest, SamplingParams
from pellucid.kernels import reference
from pellucid.kernels.packing import unpack
from pellucid.layers.adapter import Adapted, AdaptedContext
from pellucid.layers.context import DenseContext
from pellucid.layers.quantised import QuantisedEmbedding, QuantisedLinear
from pellucid.models.loading import load_model

GREEDY = SamplingParams(temperature=0.0, max_tokens=16, ignore_eos=True)
ONE_EACH = {case.row: name for name, case in reversed(CASES.items())}
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
GATED = [*ATTENTION, "gate_proj", "up_proj", "down_proj"]
PRODUCTS = {
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "mixtral": ATTENTION,
    "phi": ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"],
    "phi3": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
    "qwen3_moe": ATTENTION,
}
PROMPT = prompt(19, 97, seed=1)


def settings(model_type, *, plain):
    """Two adapters as unlike as they can be: all products at one rank; some, each at its own rank and scale."""
    products = PRODUCTS.get(model_type, GATED)
    fan = {"fan_in_fan_out": model_type == "gpt2"}
    if plain:
        return peft.LoraConfig(r=4, lora_alpha=8, target_modules=products, **fan)
    first, second, *_ = products
    return peft.LoraConfig(
        r=2,
        lora_alpha=3,
        use_rslora=True,
        target_modules=[first, second],
        rank_pattern={first: 3},
        alpha_pattern={rf"\d+\.\w+\.{second}": 5},
        **fan,
    )


def adapted(case, folder, *, plain):
    """Saves a random adapter of the case's model; the published model with it merged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft tells what it does to Conv1D and to tied weights
        model = peft.get_peft_model(
            make(case.model_type, case.fields), settings(case.model_type, plain=plain)
        )
        generator = torch.Generator().manual_seed(int(plain))
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.data.copy_(noise / parameter.shape[1] ** 0.5)
        model.save_pretrained(folder)
        return model.merge_and_unload().eval()


@pytest.fixture(scope="module", params=ONE_EACH)
def served(request, tmp_path_factory):
    """A case, what asks for either adapter or none, the published model for each, and the folder."""
    case, folder = CASES[ONE_EACH[request.param]], tmp_path_factory.mktemp("lora")
    base = make(case.model_type, case.fields)
    save(base, folder / "base")
    asked = {None: base}
    for number, plain in enumerate((True, False), 1):
        path = folder / f"adapter {number}"
        asked[LoRARequest(path.name, number, path)] = adapted(case, path, plain=plain)
    return case, asked, folder / "base"


def open_llm(folder, **options):
    return LLM(
        folder,
        device="cpu",
        skip_tokenizer_init=True,
        num_gpu_blocks_override=64,
        block_size=8,
        max_num_batched_tokens=24,
        **options,
    )


def ids_of(outputs):
    return [output.outputs[0].token_ids for output in outputs]


def test_the_tokens_of_the_merged_model_alone_and_mixed_in_one_batch(served, cell) -> None:
    case, asked, folder = served
    cell(case.row, "LoRA")
    expected = [greedy(merged, PROMPT, 16) for merged in asked.values()]
    assert len(set(map(tuple, expected))) == 3, "the adapters must matter"
    llm = open_llm(folder)
    alone = [ids_of(llm.generate(PROMPT, GREEDY, lora_request=lora))[0] for lora in asked]
    assert alone == expected
    # more than one request of each kind, not side by side, and their prompts now in the prefix cache
    hits = llm.engine.totals.hit_tokens
    mixed = llm.generate([PROMPT] * 6, GREEDY, lora_request=[*asked, *asked], use_tqdm=False)
    assert ids_of(mixed) == expected * 2
    assert llm.engine.totals.hit_tokens - hits == 6 * 16


@pytest.mark.parametrize("kind", ["int8", "int4"])
@torch.no_grad()
def test_over_rounded_weights_it_is_the_same_sum(kind, tmp_path) -> None:
    case = CASES["llama-2-grouped"]
    save(make(case.model_type, case.fields), tmp_path / "base")
    adapted(case, tmp_path / "adapter", plain=True)
    llm, lora = open_llm(tmp_path / "base", quantization=kind), LoRARequest("a", 1, tmp_path / "adapter")
    with_it, without = ids_of(llm.generate([PROMPT] * 2, GREEDY, lora_request=[lora, None], use_tqdm=False))
    assert with_it != without == ids_of(llm.generate(PROMPT, GREEDY))[0]
    # by hand: the weights unpacked, and B A added to them
    (adapter,) = llm._writer.adapters.each(lora, 1)
    ids_T, whole = torch.tensor(PROMPT), load_model(tmp_path / "base")
    ctx = DenseContext([len(PROMPT)], reference)
    logits_TV = llm.model(ids_T, AdaptedContext(ctx, [Adapted(adapter, torch.arange(len(PROMPT)))]))
    for name, module in llm.model.named_modules():
        if isinstance(module, QuantisedLinear | QuantisedEmbedding):
            weight = unpack(module.weight)
            for part in adapter.products.get(module, ()):
                weight[part.start : part.stop] += part.b_OR @ part.a_RI
            whole.get_submodule(name).weight.copy_(weight)
    torch.testing.assert_close(logits_TV, whole.logits(PROMPT), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama-2-grouped"])
def test_over_a_gguf_file_names_and_rows_are_the_published_ones(name, tmp_path) -> None:
    """GGUF calls modules otherwise, and stores Llama's queries and keys in another order."""
    case = CASES[name]
    file = write_gguf(make(case.model_type, case.fields), tmp_path / "base.gguf")
    merged = adapted(case, tmp_path / "adapter", plain=True)
    lora = LoRARequest("a", 1, tmp_path / "adapter")
    assert ids_of(open_llm(file).generate(PROMPT, GREEDY, lora_request=lora)) == [greedy(merged, PROMPT, 16)]


def test_a_stream_has_its_adapter_too(served) -> None:
    _, asked, folder = served
    llm = open_llm(folder)
    streams = [llm.stream(PROMPT, GREEDY, lora_request=lora) for lora in asked]
    said = [[token for piece in stream for token in piece.token_ids] for stream in streams]
    assert said == [greedy(merged, PROMPT, 16) for merged in asked.values()]
