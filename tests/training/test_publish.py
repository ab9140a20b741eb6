"""A published checkpoint opens in Pellucid and in transformers, with the logits it was trained to give."""

import pytest
import torch
from tiny_run import FIELDS, tiny_model

from pellucid.models.loading import load_model
from pellucid.models.registry import read_config
from pellucid.training import publish


@pytest.mark.parametrize("tied", [True, False])
def test_it_opens_everywhere(tmp_path, tied):
    transformers = pytest.importorskip("transformers")
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
