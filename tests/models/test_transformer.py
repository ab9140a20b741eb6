"""The original Transformer: the paper's sizes and arithmetic, written out once more by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.published import PublishedConfig
from pellucid.models.transformer import BASE, BIG, read_config

SMALL = BASE | {
    "vocab_size": 40, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24,
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "embedding", "encoder", "decoder", "total"),
    [(BASE, 18_944_000, 18_914_304, 25_224_192, 63.1), (BIG, 37_888_000, 75_577_344, 100_780_032, 214.2)],
    ids=["base", "big"],
)
def test_the_papers_parameter_counts(fields, embedding, encoder, decoder, total) -> None:
    """37,000 words; the paper rounds to 65 and 213 million (table 3)."""
    with torch.device("meta"):
        body = EncoderDecoder(read_config(PublishedConfig(fields, "the paper")))

    def count(part) -> int:
        return sum(p.numel() for p in part.parameters())

    assert count(body.encoder.input) == embedding
    assert count(body.encoder.blocks) == encoder
    assert count(body.decoder.blocks) == decoder
    assert count(body) == embedding + encoder + decoder
    assert round(count(body) / 1e6, 1) == total


@torch.no_grad()
def test_equals_the_papers_equations() -> None:
    torch.manual_seed(0)
    body = EncoderDecoder(read_config(PublishedConfig(SMALL, "small"))).eval()
    for parameter in body.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ids_S, ids_T = torch.randint(40, (7,)), torch.randint(40, (5,))

    def positions(n: int) -> torch.Tensor:
        rows = [
            [f(p / 10000 ** (2 * i / 16)) for i in range(8) for f in (math.sin, math.cos)] for p in range(n)
        ]
        return torch.tensor(rows)

    def embed(ids):
        return body.encoder.input.embed_tokens.weight[ids] * math.sqrt(16) + positions(len(ids))

    def linear(x, weight, bias):
        return x @ weight.T + bias

    def attend(q, k, v, o, causal):
        heads = [t.view(len(t), 4, 4).transpose(0, 1) for t in (q, k, v)]
        scores = heads[0] @ heads[1].transpose(1, 2) / math.sqrt(4)
        if causal:
            scores = scores.masked_fill(torch.ones(len(q), len(k)).triu(1).bool(), -math.inf)
        z = (scores.softmax(-1) @ heads[2]).transpose(0, 1).reshape(len(q), 16)
        return linear(z, o.weight, o.bias)

    def self_attention(x, module, causal):
        qkv = linear(x, module.qkv_proj.weight, module.qkv_proj.bias).chunk(3, -1)
        return attend(*qkv, module.o_proj, causal)

    def norm(x, module):
        return F.layer_norm(x, (16,), module.weight, module.bias, 1e-5)

    def feed_forward(x, mlp):
        h = linear(x, mlp.up_proj.weight, mlp.up_proj.bias).relu()
        return linear(h, mlp.down_proj.weight, mlp.down_proj.bias)

    x = embed(ids_S)
    for block in body.encoder.blocks:
        x = norm(x + self_attention(x, block.attn, causal=False), block.attn_norm)
        x = norm(x + feed_forward(x, block.mlp), block.mlp_norm)
    y = embed(ids_T)
    for block in body.decoder.blocks:
        y = norm(y + self_attention(y, block.attn, causal=True), block.attn_norm)
        cross = block.cross_attn
        k, v = linear(x, cross.kv_proj.weight, cross.kv_proj.bias).chunk(2, -1)
        q = linear(y, cross.q_proj.weight, cross.q_proj.bias)
        y = norm(y + attend(q, k, v, cross.o_proj, causal=False), block.cross_attn_norm)
        y = norm(y + feed_forward(y, block.mlp), block.mlp_norm)
    expected = y @ body.encoder.input.embed_tokens.weight.T
    torch.testing.assert_close(body.logits(ids_T, encoder_ids=ids_S), expected, atol=1e-4, rtol=1e-4)
