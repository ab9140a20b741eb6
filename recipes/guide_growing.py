"""Begins a guide with the weights of an earlier one: another vocabulary, more width, the same answers.

A wider model says at first exactly what the narrower one said (after Chen et al. 2016, Net2Net): what is new
in the residual stream is read but nobody writes there yet, and new heads compute but are not listened to.
"""

import torch
from tokenizers import Tokenizer
from torch import Tensor

from pellucid.models.decoder import Decoder

TABLES = ("embed_tokens.weight", "lm_head.weight")
NOBODY_WRITES = (*TABLES, "o_proj.weight", "down_proj.weight")
"""What puts something into the residual stream, or judges what is there: nothing, where it is new."""
PARTS = {"qkv_proj.weight": 3, "gate_up_proj.weight": 2}
"""How many matrices lie on top of each other in one."""


def carry_over(model: Decoder, weights: dict[str, Tensor], ours: Tokenizer, theirs: Tokenizer) -> None:
    """Begin with the weights of a model no wider than this, which is initialised and otherwise of its shape.

    A token that the other model does not have begins as the sum of its parts there.
    """
    parts = []
    for i in range(ours.get_vocab_size()):
        same = theirs.token_to_id(ours.id_to_token(i))
        text = ours.decode([i], skip_special_tokens=False)
        parts.append([same] if same is not None else theirs.encode(text, add_special_tokens=False).ids)
    for name in TABLES:
        weights[name] = torch.stack([weights[name][old].sum(0) / len(old) ** 0.5 for old in parts])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            widen(name, parameter, weights[name])


def widen(name: str, parameter: Tensor, old: Tensor) -> None:
    """Lay an old weight into a wider one."""
    if parameter.dim() == 1:
        # zeros beside D numbers make their root mean square smaller
        shrunk = (len(old) / len(parameter)) ** 0.5
        parameter.fill_(shrunk)
        parameter[: len(old)] = old * shrunk
        return
    if name.endswith(NOBODY_WRITES):
        parameter.zero_()
    count = next((count for end, count in PARTS.items() if name.endswith(end)), 1)
    for into, part in zip(parameter.chunk(count), old.chunk(count), strict=True):
        into[: part.shape[0], : part.shape[1]] = part
