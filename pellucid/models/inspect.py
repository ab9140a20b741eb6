"""What a checkpoint is, without loading it: config, parameters by part, tensors, tokenizer, memory."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pellucid.device import available_memory
from pellucid.errors import PellucidError
from pellucid.models.body import Body
from pellucid.models.checkpoint import Checkpoint
from pellucid.models.decoder import Decoder
from pellucid.models.loading import weight_bytes
from pellucid.models.quantising import QUANTIZATIONS, plan
from pellucid.models.stored import StoredTensor
from pellucid.models.weights import place, targets

PARTS = ("embeddings", "attention", "feed-forward", "norms", "head")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class TensorGroup:
    """Published tensors of one name but for the layer's number (`{}`), shape and encoding."""

    name: str
    count: int
    shape: tuple[int, ...]
    encoding: str | None
    """What they are stored in; None where the files are not here."""


@dataclass(frozen=True, kw_only=True)
class TokenizerSummary:
    """The tokenizer beside the weights."""

    vocab_size: int
    special_tokens: Mapping[str, str]
    chat_templates: Mapping[str, str]
    """Their sources by name, "default" among them; empty where there is none."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Everything that files' headers say; sizes are in bytes."""

    name: str
    kind: str
    path: str
    model_type: str
    body: str
    published: Mapping[str, Any]
    """The fields of config.json, or of a GGUF file's metadata."""
    generation: Mapping[str, Any]
    num_parameters: int
    parameters: Mapping[str, int]
    """By part."""
    tensors: Sequence[TensorGroup]
    stored_bytes: int | None
    """What the weights take in their files; None where those are not here."""
    problem: str | None
    """Why it would not load."""
    tokenizer: TokenizerSummary | None
    tokenizer_problem: str | None
    """Why there is none, for a model that would need one."""
    memory: Mapping[str, int]
    """What the weights would take, by dtype or quantization."""
    kv_bytes_per_token: Mapping[str, int]
    """What each token in the cache would take, by dtype; empty for a body without a cache."""
    available_memory: int


def inspect(checkpoint: Checkpoint) -> Inspection:
    """Read a checkpoint's headers, and build its body without memory. Reads no weights."""
    body = checkpoint.empty_body()
    stored, problem = _stored(checkpoint, body)
    tokenizer, tokenizer_problem = _tokenizer(checkpoint)
    parameters = parameters_by_part(body)
    return Inspection(
        name=checkpoint.source.name,
        kind=checkpoint.source.kind,
        path=str(checkpoint.source.path),
        model_type=checkpoint.family.model_type,
        body=type(body).__name__,
        published=checkpoint.published,
        generation=checkpoint.generation,
        num_parameters=sum(parameters.values()),
        parameters=parameters,
        tensors=_groups(checkpoint, body, stored),
        stored_bytes=sum(tensor.nbytes for tensor in stored) if stored else None,
        problem=problem,
        tokenizer=tokenizer,
        tokenizer_problem=tokenizer_problem,
        memory=memory_by_kind(body),
        kv_bytes_per_token=kv_bytes_per_token(body),
        available_memory=available_memory(torch.device("cpu")),
    )


def parameters_by_part(body: Body) -> dict[str, int]:
    """How many numbers each part has learned, the largest parts of a transformer first; a shared table counts
    once."""
    counts = dict.fromkeys(PARTS, 0)
    for name, parameter in body.named_parameters():
        part = part_of(name)
        counts[part] = counts.get(part, 0) + parameter.numel()
    return {part: count for part, count in counts.items() if count}


def part_of(name: str) -> str:
    """The part that one of our parameters belongs to."""
    steps = name.split(".")[:-1]
    if any(step.endswith("norm") for step in steps):
        return "norms"
    if any(step.endswith("attn") for step in steps):
        return "attention"
    if "mlp" in steps:
        return "feed-forward"
    if any(step.startswith("embed") for step in steps):
        return "embeddings"
    if "input" in steps:
        return "input"
    return "head" if steps[0] in ("lm_head", "heads") else steps[0]


def memory_by_kind(body: Body) -> dict[str, int]:
    """What a body's weights would take in memory, by dtype or quantization."""
    plain = {name: weight_bytes(body, dtype, {}) for name, dtype in DTYPES.items()}
    return plain | {kind: weight_bytes(body, torch.bfloat16, plan(body, kind)) for kind in QUANTIZATIONS}


def kv_bytes_per_token(body: Body) -> dict[str, int]:
    """What one token's keys and values take in all layers together, by dtype."""
    if not isinstance(body, Decoder):
        return {}
    heads = [(2 * module.spec.num_kv_heads, module.spec.head_dim) for module in body.attentions]
    numbers, scales = sum(count * size for count, size in heads), sum(count for count, _ in heads)
    plain = {name: numbers * dtype.itemsize for name, dtype in DTYPES.items()}
    return plain | {"int8": numbers + scales * torch.float32.itemsize}


def _stored(checkpoint: Checkpoint, body: Body) -> tuple[list[StoredTensor], str | None]:
    """The tensors that the body would take, and why it would not load."""
    try:
        placements = place(body, checkpoint.family, checkpoint.tensors(), checkpoint.source.path)
    except PellucidError as error:
        return [], str(error)
    return [tensor for tensor, _ in placements], None


def _groups(checkpoint: Checkpoint, body: Body, stored: Sequence[StoredTensor]) -> list[TensorGroup]:
    found: list[tuple[str, tuple[int, ...], str | None]]
    if stored:
        found = [(tensor.name, tensor.shape, tensor.encoding.name) for tensor in stored]
    else:
        shapes = {name: parameter.shape for name, parameter in body.named_parameters()}
        found = [
            (name, (target.stop - target.start, *shapes[target.parameter][1:]), None)
            for name, target in targets(body, checkpoint.family).items()
        ]
    counts = Counter((re.sub(r"\d+", "{}", name), shape, encoding) for name, shape, encoding in found)
    return [
        TensorGroup(name=name, count=count, shape=shape, encoding=encoding)
        for (name, shape, encoding), count in counts.items()
    ]


def _tokenizer(checkpoint: Checkpoint) -> tuple[TokenizerSummary | None, str | None]:
    if checkpoint.config.vocab_size is None:
        return None, None
    try:
        tokenizer = checkpoint.tokenizer()
    except PellucidError as error:
        return None, str(error)
    template = tokenizer.chat_template
    return (
        TokenizerSummary(
            vocab_size=tokenizer.vocab_size,
            special_tokens=dict(tokenizer.special_tokens),
            chat_templates=template.sources if template else {},
        ),
        None,
    )
