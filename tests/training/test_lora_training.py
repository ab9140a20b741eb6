"""A LoRA adapter that was trained here: peft gives the logits it was trained to give, merged it is the same
model to transformers, and the engine serves it beside others."""

import json
import warnings

import peft
import pytest
import torch
from parity.checkpoints import make, prompt, save
from parity.decoder_cases import CASES
from parity.test_lora import open_llm
from transformers import AutoModelForCausalLM

from pellucid import LoRARequest, SamplingParams
from pellucid.errors import ConfigError, TrainingError, WeightsError
from pellucid.kernels import torch_ops
from pellucid.layers.context import DenseContext
from pellucid.models.adapter_file import adaptable
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.loading import load_checkpoint
from pellucid.models.publishing import publish
from pellucid.training import Batch, NextToken, TrainConfig, train
from pellucid.training.lora import LoRA, LoRAConfig

PROMPT = prompt(19, 97, seed=1)
ATTENTION = {"gpt2": ("c_attn",), "phi3-longrope": ("qkv_proj", "down_proj")}


class Repeated:
    """The same sequence at every step."""

    def parts(self, step, count):
        ids = torch.tensor(PROMPT)
        return [Batch(ids[:-1], ids[1:], torch.ones(len(ids) - 1), (len(ids) - 1,))] * count


def opened(folder, *targets, **settings):
    checkpoint = open_checkpoint(folder)
    base = load_checkpoint(checkpoint, dtype="float32", device="cpu")
    of = adaptable(checkpoint.empty_body(), checkpoint.family)
    return checkpoint, LoRA(base, of, LoRAConfig(targets=targets, **settings))


@pytest.fixture(params=["llama-2-grouped", "gpt2", "phi3-longrope", "gemma2"])
def trained(request, tmp_path):
    """A published model, and an adapter that three steps have trained on it."""
    name = next(n for n in CASES if n.startswith(request.param))
    save(make(CASES[name].model_type, CASES[name].fields), tmp_path / "base")
    checkpoint, lora = opened(tmp_path / "base", *ATTENTION.get(request.param, ()), rank=3, alpha=5)
    plan = TrainConfig(steps=4, lr=0.1, weight_decay=0.0)
    train(lora, Repeated(), NextToken(torch_ops), plan, tmp_path / "run")
    lora.save(tmp_path / "adapter", str(tmp_path / "base"))
    return tmp_path, checkpoint, lora


@torch.no_grad()
def logits(lora):
    return lora(torch.tensor(PROMPT), DenseContext([len(PROMPT)], torch_ops))


@torch.no_grad()
def test_peft_and_transformers_and_the_engine_say_the_same(trained):
    folder, checkpoint, lora = trained
    base = lora.base.logits(PROMPT)
    learned = logits(lora)
    assert (learned - base).abs().max() > 0.1, "training must have changed something"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft tells what it does to Conv1D
        theirs = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
        theirs = peft.PeftModel.from_pretrained(theirs, folder / "adapter").eval()
    found = theirs(torch.tensor([PROMPT])).logits[0]
    torch.testing.assert_close(found, learned, rtol=1e-4, atol=1e-4)

    merged = lora.merge()
    torch.testing.assert_close(merged.logits(PROMPT), learned, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits(lora), learned, rtol=1e-4, atol=1e-4)  # merging twice adds nothing
    publish(folder / "merged", merged, checkpoint.family, checkpoint.published)
    theirs = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32).eval()
    torch.testing.assert_close(theirs(torch.tensor([PROMPT])).logits[0], learned, rtol=1e-4, atol=1e-4)

    greedy = SamplingParams(temperature=0.0, max_tokens=8, ignore_eos=True)
    asked = [LoRARequest("a", 1, folder / "adapter"), None]
    with_it, without = open_llm(folder / "base").generate(
        [PROMPT] * 2, greedy, lora_request=asked, use_tqdm=False
    )
    (expected,) = open_llm(folder / "merged").generate([PROMPT], greedy, use_tqdm=False)
    assert with_it.outputs[0].token_ids == expected.outputs[0].token_ids != without.outputs[0].token_ids


def test_only_the_adapter_is_trained_and_remembered(trained):
    folder, checkpoint, lora = trained
    before = load_checkpoint(checkpoint, dtype="float32", device="cpu").state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in lora.base.state_dict().items())
    state = folder / "run" / "state.safetensors"
    assert state.stat().st_size < 4 * sum(p.numel() * 4 for p in lora.parameters() if p.requires_grad)
    assert json.loads((folder / "adapter" / "adapter_config.json").read_text())["r"] == 3


@pytest.mark.parametrize("target", ["q", "lm_head", "embed_tokens", "norm"])
def test_a_target_that_is_no_product_is_refused(tmp_path, target):
    save(make("llama", CASES["llama-2-grouped"].fields), tmp_path)
    with pytest.raises(ConfigError, match="there are down_proj, gate_proj, k_proj"):
        opened(tmp_path, "q_proj", target)


def test_experts_are_left_alone(tmp_path):
    case = next(case for case in CASES.values() if case.model_type == "qwen3_moe")
    save(make(case.model_type, case.fields), tmp_path)
    _, lora = opened(tmp_path)
    assert {name.rpartition(".")[2] for name in lora.products} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    with pytest.raises(ConfigError, match="up_proj"):
        opened(tmp_path, "up_proj")


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0.0}, {"alpha": float("nan")}])
def test_a_rank_or_alpha_that_adapts_nothing_is_refused(wrong):
    with pytest.raises(ConfigError, match="a rank is 1 or more"):
        LoRAConfig(**wrong)


def test_another_alpha_or_another_base_does_not_go_on_from_the_state(trained):
    folder, checkpoint, lora = trained
    plan, task = TrainConfig(steps=6, lr=0.1, weight_decay=0.0), NextToken(torch_ops)
    of = adaptable(checkpoint.empty_body(), checkpoint.family)
    targets = tuple(name.rpartition(".")[2] for name in lora.products)
    stronger = LoRA(lora.base, of, LoRAConfig(rank=3, alpha=9, targets=targets))
    with pytest.raises(WeightsError, match="another model to begin with"):
        train(stronger, Repeated(), task, plan, folder / "run")
    with torch.no_grad():
        lora.base.embed_tokens.weight[0] += 1
    with pytest.raises(WeightsError, match="another model to begin with"):
        train(lora, Repeated(), task, plan, folder / "run")


@pytest.mark.parametrize("wrong", [{"dropout": 1.0}, {"dropout": -0.1}, {"label_smoothing": 1.5}])
def test_a_share_that_is_none_is_refused(wrong):
    with pytest.raises(TrainingError, match="each is a share"):
        NextToken(torch_ops, **wrong)
