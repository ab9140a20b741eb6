"""A published checkpoint opens in Pellucid and in transformers, with the logits it was trained to give."""

import json

import pytest
import torch
import transformers
from parity import checkpoints, random_models
from parity import encoder_cases as encoders
from parity.decoder_cases import CASES
from parity.test_gradients import ONE_EACH
from safetensors.torch import load_file
from tiny_run import FIELDS, tiny_model
from tokenizers import Tokenizer, models

from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.loading import load_checkpoint, load_model
from pellucid.models.publishing import publish, publish_text
from pellucid.models.registry import read_config


@pytest.mark.parametrize("tied", [True, False])
def test_it_opens_everywhere(tmp_path, tied):
    fields = FIELDS | {"tie_word_embeddings": tied}
    family, config = read_config(fields)
    model = tiny_model() if tied else family.build(config)
    if not tied:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    publish(tmp_path, model, family, fields)
    ids = torch.arange(10)
    expected = model.logits(ids)
    torch.testing.assert_close(load_model(tmp_path).logits(ids), expected)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids[None]).logits[0], expected, rtol=1e-4, atol=1e-5)


def test_other_values_and_dtypes(tmp_path):
    model = tiny_model()
    family, _ = read_config(FIELDS)
    values = {name: torch.full_like(p, 0.5) for name, p in model.named_parameters()}
    publish(tmp_path, model, family, FIELDS, values, torch.bfloat16)
    opened = load_model(tmp_path)
    assert opened.config.dtype == "bfloat16"
    assert (opened.embed_tokens.weight == 0.5).all()


BODIES = [
    ("BertForMaskedLM", encoders.SMALL),
    ("BertForSequenceClassification", encoders.SMALL),
    ("RobertaForTokenClassification", {**encoders.SMALL, "pad_token_id": 3}),
    ("DistilBertForSequenceClassification", encoders.DISTIL),
    ("ModernBertForSequenceClassification", {**encoders.MODERN, "classifier_pooling": "mean"}),
    ("ViTForImageClassification", {**encoders.VIT, "num_channels": 1, "patch_size": 4}),
    ("ViTModel", encoders.VIT),
    ("DeiTForImageClassificationWithTeacher", encoders.VIT),
]
DECODERS = [name for name in ONE_EACH.values() if not name.startswith(("mixtral", "qwen3-moe"))]


@pytest.mark.parametrize(
    "case", [*DECODERS, *BODIES], ids=lambda case: case if isinstance(case, str) else case[0]
)
def test_what_was_published_is_published_again(tmp_path, case):
    """Under the same names and with the same numbers as transformers' own `save_pretrained`; GPT-2 under the
    shorter ones of its published checkpoints."""
    if isinstance(case, str):
        theirs = checkpoints.make(CASES[case].model_type, CASES[case].fields)
    else:
        theirs = random_models.make(getattr(transformers, case[0]), case[1])
    theirs.save_pretrained(tmp_path / "theirs")
    checkpoint = open_checkpoint(tmp_path / "theirs")
    publish(tmp_path / "ours", load_checkpoint(checkpoint), checkpoint.family, checkpoint.published)
    expected, found = (load_file(tmp_path / who / "model.safetensors") for who in ("theirs", "ours"))
    expected = {
        name.removeprefix("transformer.") if case == "gpt2" else name: t for name, t in expected.items()
    }
    assert {name.replace("pooler.dense", "") for name in expected.keys() - found.keys()} <= {
        ".weight",
        ".bias",
    }
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-6)


def test_texts_come_with_their_tokenizer(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="b"))
    publish_text(tmp_path / "alone", tokenizer, {"eos_token": "b"})
    publish_text(tmp_path / "writes", tokenizer, {}, {"num_beams": 4})
    assert Tokenizer.from_file(str(tmp_path / "alone" / "tokenizer.json")).encode("a").ids == [0]
    assert json.loads((tmp_path / "alone" / "tokenizer_config.json").read_text())["eos_token"] == "b"
    assert not (tmp_path / "alone" / "generation_config.json").exists()
    assert json.loads((tmp_path / "writes" / "generation_config.json").read_text()) == {"num_beams": 4}
