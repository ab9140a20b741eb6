"""Writes a GGUF file of a published Llama's real shape with random weights, in one of llama.cpp's formats.

`python benchmarks/random_gguf.py 1.1b Q4_0 FILE`: speed depends on the shape and the format alone, and no
download is needed. As llama.cpp's own quantiser does, the head of a 4-bit model has more bits (here Q8_0).
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind


@dataclass(frozen=True)
class Shape:
    """A Llama's sizes."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    tied: bool
    epsilon: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


SHAPES = {
    "135m": Shape(576, 30, 9, 3, 1536, 49152, tied=True),
    "1.1b": Shape(2048, 22, 32, 4, 5632, 32000, tied=False),
    "3.8b": Shape(3072, 32, 32, 32, 8192, 32064, tied=False),
}
FILE_TYPES = {Kind.F16: 1, Kind.Q4_0: 2, Kind.Q8_0: 7}
BLOCK_BYTES = {Kind.Q8_0: 34, Kind.Q4_0: 18}
SPREAD = {Kind.Q8_0: 74.0, Kind.Q4_0: 4.6}
"""The standard deviation of a format's whole numbers when all are equally likely."""


def random_weight(rng: np.random.Generator, outputs: int, inputs: int, kind: Kind) -> np.ndarray:
    """Weights [O, I] of standard deviation 1 / sqrt(I), as the file stores them."""
    if kind is Kind.F16:
        return (rng.standard_normal((outputs, inputs), np.float32) / inputs**0.5).astype(np.float16)
    blocks = rng.integers(0, 256, (outputs, inputs // 32, BLOCK_BYTES[kind]), np.uint8)
    scales = rng.uniform(0.75, 1.25, (outputs, inputs // 32)) / (SPREAD[kind] * inputs**0.5)
    blocks[..., :2] = scales.astype(np.float16)[..., None].view(np.uint8)
    if kind is Kind.Q8_0:
        blocks[..., 2:][blocks[..., 2:] == 128] = 0  # -128 is not used
    return blocks.reshape(outputs, -1)


Tensor = tuple[np.ndarray, Kind]
MakeTensor = Callable[[str, tuple[int, ...]], Tensor]
"""From a tensor's GGUF name and shape, its data as the file stores them and their format."""


def random_tensors(kind: Kind) -> MakeTensor:
    """Random weights of a format, norms in float32; the head of a 4-bit model in Q8_0."""
    rng = np.random.default_rng(0)

    def make(name: str, shape: tuple[int, ...]) -> Tensor:
        if len(shape) == 1:
            return rng.uniform(0.8, 1.2, shape).astype(np.float32), Kind.F32
        return random_weight(rng, *shape, format_of(name, kind)), format_of(name, kind)

    return make


def format_of(name: str, kind: Kind) -> Kind:
    """What a matrix is held in, in a model of a format."""
    return Kind.Q8_0 if kind is Kind.Q4_0 and name in ("token_embd.weight", "output.weight") else kind


def write(path: Path, shape: Shape, kind: Kind, make: MakeTensor) -> None:
    """The whole file of a Llama whose matrices are `kind`: metadata, placeholder tokens, tensors."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_context_length(8192)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocabulary)
    add_vocabulary(writer, shape.vocabulary)

    def add(name: str, *axes: int) -> None:
        data, kind = make(f"{name}.weight", axes)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=None if data.dtype != np.uint8 else kind)

    add("token_embd", shape.vocabulary, shape.hidden)
    for layer in range(shape.layers):
        at, kv = f"blk.{layer}", shape.kv_heads * shape.head_dim
        add(f"{at}.attn_norm", shape.hidden)
        add(f"{at}.attn_q", shape.hidden, shape.hidden)
        add(f"{at}.attn_k", kv, shape.hidden)
        add(f"{at}.attn_v", kv, shape.hidden)
        add(f"{at}.attn_output", shape.hidden, shape.hidden)
        add(f"{at}.ffn_norm", shape.hidden)
        add(f"{at}.ffn_gate", shape.feed_forward, shape.hidden)
        add(f"{at}.ffn_up", shape.feed_forward, shape.hidden)
        add(f"{at}.ffn_down", shape.hidden, shape.feed_forward)
    add("output_norm", shape.hidden)
    if not shape.tied:
        add("output", shape.vocabulary, shape.hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(writer: gguf.GGUFWriter, size: int) -> None:
    """Placeholders, with all that each reader asks for (OpenVINO: merges of a byte-level tokenizer)."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([b"<unk>", b"<s>", b"</s>", *(f"t{i}".encode() for i in range(3, size))])
    writer.add_token_types([2, 3, 3] + [1] * (size - 3))
    writer.add_token_merges(["t 3", "t 4"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("format", choices=["F16", "Q8_0", "Q4_0"])
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    kind = Kind[given.format]
    write(given.file, SHAPES[given.shape], kind, random_tensors(kind))


if __name__ == "__main__":
    main()
