"""Every decoder family can be trained: the gradient of each published tensor equals transformers'."""

import pytest
import torch
from parity.checkpoints import make, prompt, save
from parity.decoder_cases import CASES
from torch.nn.functional import cross_entropy

from pellucid.kernels import torch_ops
from pellucid.layers.context import DenseContext
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.loading import load_checkpoint
from pellucid.models.weights import targets

ONE_EACH = {case.model_type: name for name, case in reversed(CASES.items())}
LENGTHS = (11, 20)


@pytest.mark.parametrize("name", [*ONE_EACH.values(), "phi3-longrope", "stablelm-parallel-head-norms"])
def test_gradients_are_equal(name, tmp_path) -> None:
    theirs = make(CASES[name].model_type, CASES[name].fields)
    checkpoint = open_checkpoint(save(theirs, tmp_path))
    ours = load_checkpoint(checkpoint, device="cpu").requires_grad_()
    prompts = [prompt(length, 97, seed=length) for length in LENGTHS]

    loss = sum(_loss(theirs(torch.tensor([ids])).logits[0], ids) for ids in prompts)
    loss.backward()
    ids_T = torch.tensor([i for ids in prompts for i in ids])
    logits_TV = ours(ids_T, DenseContext(LENGTHS, torch_ops))
    sum(_loss(*pair) for pair in zip(logits_TV.split(LENGTHS), prompts, strict=True)).backward()

    published = dict(theirs.named_parameters())
    parameters = dict(ours.named_parameters())
    compared = 0
    for tensor, target in targets(ours, checkpoint.family).items():
        if ".experts." in tensor:
            continue  # transformers holds all experts of a layer in one tensor, under another name
        in_memory = tensor.replace("block_sparse_moe", "mlp")
        expected = published[in_memory if in_memory in published else f"transformer.{in_memory}"]
        found = parameters[target.parameter].grad[target.start : target.stop]
        if target.transform is not None and found.dim() == 2:
            found = target.transform(found)
        # a gradient is a sum whose terms cancel: one much smaller than its tensor's largest is known less exactly
        atol = 1e-4 * float(expected.grad.abs().max())
        torch.testing.assert_close(found, expected.grad, rtol=0, atol=atol)
        compared += 1
    assert compared > 10


def _loss(logits_TV, ids):
    return cross_entropy(logits_TV[:-1], torch.tensor(ids[1:]))
