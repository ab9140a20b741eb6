"""A wider guide says at first what the narrower one said, and a new token what its parts say."""

import torch
from guide_models import guide_tokenizer
from tokenizers import Tokenizer

from pellucid.kernels import torch_ops
from pellucid.layers.context import DenseContext
from pellucid.models.decoder import Decoder
from pellucid.models.registry import read_config
from pellucid.training import initialise
from recipes.guide import SHAPE
from recipes.guide_growing import carry_over


def decoder(tokenizer: Tokenizer, heads: int, mlp: int, seed: int) -> Decoder:
    shape = {
        "hidden_size": heads * 32,
        "intermediate_size": mlp,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "vocab_size": tokenizer.get_vocab_size(),
    }
    family, config = read_config(SHAPE | shape)
    model = family.build(config)
    assert isinstance(model, Decoder)
    initialise(model, seed=seed, std=0.1)
    return model


def logits(model: Decoder, lengths: list[int], seed: int = 0) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(seed)
    ids_T = torch.randint(model.config.vocab_size, (sum(lengths),), generator=drawn)
    with torch.no_grad():
        found: torch.Tensor = model(ids_T, DenseContext(lengths, torch_ops))
    return found


def test_a_wider_model_begins_where_the_narrower_one_was() -> None:
    tokenizer = guide_tokenizer()
    narrow, wide = decoder(tokenizer, 2, 96, seed=1), decoder(tokenizer, 3, 160, seed=2)
    with torch.no_grad():  # norms that are not one
        for parameter in narrow.parameters():
            if parameter.dim() == 1:
                parameter.copy_(1 + torch.arange(len(parameter)) / len(parameter))
    carry_over(wide, narrow.state_dict(), tokenizer, tokenizer)
    torch.testing.assert_close(logits(wide, [9, 4]), logits(narrow, [9, 4]), rtol=1e-3, atol=1e-3)


def test_all_of_what_is_new_in_a_wider_model_can_learn() -> None:
    tokenizer = guide_tokenizer()
    narrow, wide = decoder(tokenizer, 2, 96, seed=1), decoder(tokenizer, 3, 160, seed=2)
    carry_over(wide, narrow.state_dict(), tokenizer, tokenizer)
    optimizer = torch.optim.SGD(wide.parameters(), lr=1.0)
    before = {name: parameter.detach().clone() for name, parameter in wide.named_parameters()}
    ids_T = torch.arange(300, 340)
    for _ in range(3):
        optimizer.zero_grad()
        found = wide(ids_T, DenseContext([40], torch_ops))
        torch.nn.functional.cross_entropy(found, ids_T).backward()
        optimizer.step()
    for name, parameter in wide.named_parameters():
        new = (parameter != before[name])[..., 64:]
        assert new.any(), name


def test_a_token_that_is_new_begins_as_the_sum_of_its_parts() -> None:
    theirs = guide_tokenizer()
    ours = Tokenizer.from_str(theirs.to_str())
    assert ours.add_tokens(["attentionmask"]) == 1
    model, wide = decoder(theirs, 2, 96, seed=1), decoder(ours, 2, 96, seed=2)
    carry_over(wide, model.state_dict(), ours, theirs)
    parts = theirs.encode("attentionmask", add_special_tokens=False).ids
    assert len(parts) > 1
    expected = model.embed_tokens.weight[parts].sum(0) / len(parts) ** 0.5
    torch.testing.assert_close(wide.embed_tokens.weight[-1], expected)
