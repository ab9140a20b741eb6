"""Every decoder family in 8 and 4 bits: exactly the model whose weights were rounded, and near the published."""

import pytest
import torch
from parity.checkpoints import make, prompt, save
from parity.decoder_cases import CASES

from pellucid.kernels.packing import unpack
from pellucid.layers.quantised import QuantisedEmbedding, QuantisedLinear
from pellucid.models.loading import load_model

ONE_EACH = {case.row: name for name, case in reversed(CASES.items())}
MOST = {"int8": 0.1, "int4": 0.8}
"""How far logits may move, as a part of their size: these random weights carry a rounding further than trained
ones, and 32 numbers a row leave little to average over."""


@pytest.mark.parametrize("kind", MOST)
@pytest.mark.parametrize("row", ONE_EACH)
@torch.no_grad()
def test_it_is_the_model_with_its_weights_rounded(row, kind, tmp_path, cell) -> None:
    cell(row, "quantised")
    case = CASES[ONE_EACH[row]]
    theirs = make(case.model_type, case.fields)
    folder = save(theirs, tmp_path)
    rounded, whole = load_model(folder, quantization=kind), load_model(folder)
    ids = prompt(30, theirs.config.vocab_size)
    published_TV = whole.logits(ids)
    for name, module in rounded.named_modules():
        if isinstance(module, QuantisedLinear | QuantisedEmbedding):
            whole.get_submodule(name).weight.copy_(unpack(module.weight))
    logits_TV = rounded.logits(ids)
    torch.testing.assert_close(logits_TV, whole.logits(ids), rtol=0, atol=1e-4)
    assert (logits_TV - published_TV).norm() < MOST[kind] * published_TV.norm()
