"""What rounding costs the bundled trained model, ours beside llama.cpp on the same GGUF files.

    python benchmarks/gguf_quality.py FOLDER

For each format: the perplexity of the guide's own text, in pieces of 256 tokens, the mean KL divergence from
the float32 logits to what the format gives, and how often the likeliest token stays. Ours with the kernels
that serve (activations rounded to 8 bits where weights are), from the same files and from `quantization=`.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from guide_quality import PIECE, SOURCE, Logits, compared, pieces
from random_gguf import MakeTensor, Shape, Tensor, format_of, write
from safetensors.numpy import load_file

import pellucid.bundled
from pellucid import LLM
from pellucid.layers.context import DenseContext

GUIDE = Path(pellucid.bundled.__path__[0]) / "guide"
FORMATS = {Kind.Q8_0: "int8", Kind.Q4_0: "int4"}
PUBLISHED = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def trained_tensors(weights: dict[str, np.ndarray], heads: int, kind: Kind) -> MakeTensor:
    """A published Llama's weights under GGUF's names, packed by the gguf package."""

    def make(name: str, shape: tuple[int, ...]) -> Tensor:
        *layer, own, _ = name.removeprefix("blk.").split(".")
        at = f"model.layers.{layer[0]}." if layer else ""
        values = weights[f"{at}{PUBLISHED[own]}.weight"]
        assert values.shape == shape
        if len(shape) == 1:
            return values, Kind.F32
        if own in ("attn_q", "attn_k"):  # the two halves of a head side by side
            values = values.reshape(heads, 2, -1, shape[1]).swapaxes(1, 2).reshape(shape)
        return gguf.quants.quantize(values, format_of(name, kind)), format_of(name, kind)

    return make


def ours(source: str, quantization: str | None = None) -> Logits:
    """With the kernels that serve."""
    llm = LLM(source, quantization=quantization, device="cpu", skip_tokenizer_init=True)

    @torch.inference_mode()
    def logits(ids: Sequence[int]) -> torch.Tensor:
        context = DenseContext([len(ids)], llm.backend.kernels, device=torch.device("cpu"))
        found: torch.Tensor = llm.model(torch.tensor(ids), context)
        return found.float()

    return logits


def llama_cpps(file: Path) -> Logits:
    """llama.cpp's own."""
    llama = llama_cpp.Llama(str(file), n_ctx=PIECE, n_batch=PIECE, logits_all=True, verbose=False)

    def logits(ids: Sequence[int]) -> torch.Tensor:
        llama.reset()
        llama.eval(list(ids))
        return torch.from_numpy(llama.scores[: len(ids)].copy())

    return logits


def ways(folder: Path) -> Iterator[tuple[str, Logits]]:
    """Every way to round, ours and llama.cpp's."""
    published = json.loads((GUIDE / "config.json").read_text())
    heads = published["num_attention_heads"]
    shape = Shape(
        published["hidden_size"],
        published["num_hidden_layers"],
        heads,
        published["num_key_value_heads"],
        published["intermediate_size"],
        published["vocab_size"],
        published["tie_word_embeddings"],
        published["rms_norm_eps"],
    )
    weights = load_file(GUIDE / "model.safetensors")
    for kind, quantization in FORMATS.items():
        file = folder / f"guide-{kind.name}.gguf"
        write(file, shape, kind, trained_tensors(weights, heads, kind))
        yield f"{kind.name}, ours", ours(str(file))
        yield f"{kind.name}, llama.cpp", llama_cpps(file)
        yield f"quantization={quantization!r}", ours(SOURCE, quantization)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the GGUF files")
    given = parser.parse_args()
    some, exact = pieces(), ours(SOURCE)
    print(f"{sum(map(len, some))} tokens of the guide's text")
    for name, rounded in ways(given.folder):
        before, after, divergence, same = compared(exact, rounded, some)
        print(
            f"{name:22} perplexity {before:.3f} -> {after:.3f}, KL {divergence:.5f}, "
            f"same winner {100 * same:.1f} %"
        )


if __name__ == "__main__":
    main()
