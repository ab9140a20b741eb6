"""Cross-attention: each decoder sequence sees its own encoder sequence, whole, and no other."""

import torch

from pellucid.kernels import AttentionSpec, reference
from pellucid.layers.attention import AttentionConfig
from pellucid.layers.context import DenseContext
from pellucid.layers.cross_attention import CrossAttention


def attention() -> CrossAttention:
    spec = AttentionSpec(num_heads=2, num_kv_heads=2, head_dim=4, scale=0.5, causal=False)
    module = CrossAttention(8, AttentionConfig(spec=spec, qkv_bias=True, o_bias=True), 0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def run(module, memories, queries) -> torch.Tensor:
    source = DenseContext([len(m) for m in memories], reference)
    module.remember(torch.cat(memories), source)
    return module(torch.cat(queries), DenseContext([len(q) for q in queries], reference, memory=source))


@torch.no_grad()
def test_equals_the_equation() -> None:
    torch.manual_seed(0)
    module, memory_SD, x_TD = attention(), torch.randn(5, 8), torch.randn(3, 8)
    q_HTK = (x_TD @ module.q_proj.weight.T + module.q_proj.bias).view(3, 2, 4).transpose(0, 1)
    k, v = (memory_SD @ module.kv_proj.weight.T + module.kv_proj.bias).chunk(2, -1)
    k_HSK, v_HSK = k.view(5, 2, 4).transpose(0, 1), v.view(5, 2, 4).transpose(0, 1)
    pattern_HTS = torch.softmax(q_HTK @ k_HSK.transpose(1, 2) * 0.5, -1)
    z_TD = (pattern_HTS @ v_HSK).transpose(0, 1).reshape(3, 8)
    expected = z_TD @ module.o_proj.weight.T + module.o_proj.bias
    torch.testing.assert_close(run(module, [memory_SD], [x_TD]), expected)


@torch.no_grad()
def test_packed_sequences_do_not_mix() -> None:
    torch.manual_seed(1)
    module = attention()
    memories, queries = [torch.randn(n, 8) for n in (5, 1, 7)], [torch.randn(n, 8) for n in (2, 4, 1)]
    alone = [run(module, [m], [q]) for m, q in zip(memories, queries, strict=True)]
    torch.testing.assert_close(run(module, memories, queries), torch.cat(alone))
