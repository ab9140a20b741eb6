"""What a run computed, kept: queries, keys, values and residual streams of one request.

Letters: T tokens that were run, H query heads, G KV heads, K head size, D hidden, L layers, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.errors import RequestError
from pellucid.kernels import reference
from pellucid.layers.context import DenseContext
from pellucid.models.decoder import Decoder
from pellucid.trace.record import Record


class Candidate(NamedTuple):
    """One possible next token."""

    token_id: int
    text: str
    probability: float


@dataclass(frozen=True)
class LogitLens:
    """What the head would have said after every layer (nostalgebraist 2020).

    `ids_LTN` and `probabilities_LTN` hold the N likeliest next tokens after each of the L layers at each of
    the T positions; `texts_LTN` their texts.
    """

    ids_LTN: Tensor
    probabilities_LTN: Tensor
    texts_LTN: list[list[list[str]]]


class Trace:
    """Every number of one run, from the very run that made the text.

    Layers and heads count from 0, heads are query heads, rows are queries. The tokens that were run are the
    prompt and all generated ones but the last.
    """

    def __init__(
        self,
        model: Decoder,
        record: Record,
        token_ids: Sequence[int],
        prompt_length: int,
        text_of: Callable[[int], str] = str,
        viewer: Callable[["Trace"], None] = print,
    ) -> None:
        """`token_ids`: the prompt, then everything generated; `text_of` is how a person reads
        one, `viewer` how the whole is shown to one."""
        self.model = model
        self.record = record
        self.token_ids = list(token_ids)
        self.prompt_length = prompt_length
        self.text_of = text_of
        self._viewer = viewer
        self.num_layers = model.config.num_layers
        self.num_heads = model.config.num_heads

    def __len__(self) -> int:
        """How many tokens were run."""
        return len(self["blocks.0.resid_pre"])

    def __getitem__(self, name: str) -> Tensor:
        """A value by name: `blocks.3.attn.q` is `[T, H, K]` as tapped, `blocks.3.attn.pattern` the maps of
        all heads, `[H, T, T]`, derived. KeyError lists the names."""
        block, _, what = name.partition(".attn.")
        if what == "pattern" and f"{block}.attn.q" in self.record.names:
            layer = int(block.removeprefix("blocks."))
            return torch.stack([self.attention(layer, head) for head in range(self.num_heads)])
        if name not in self.record.names:
            raise KeyError(f"{name!r} was not tapped; there are {', '.join(self.record.names)}")
        return self.record.read(name)

    def attention(self, layer: int, head: int, rows: Sequence[int] | None = None) -> Tensor:
        """The attention map `[T, T]` of one head, float32; or only the given query rows of it, `[rows, T]`.

        It is recomputed from the queries and keys of the run. Raises RequestError for a layer, head or row
        that is not there.
        """
        self._check("layer", layer, self.num_layers)
        spec = self.model.attentions[layer].spec
        self._check("head", head, spec.num_heads)
        name = f"blocks.{layer}.attn"
        q_T1K = self[f"{name}.q"][:, head : head + 1]
        group = head // (spec.num_heads // spec.num_kv_heads)
        k_T1K = self[f"{name}.k"][:, group : group + 1]
        bias_HE = self.model.attentions[layer].bias_table()
        one_head = replace(spec, num_heads=1, num_kv_heads=1)
        if bias_HE is not None:
            bias_HE = bias_HE[head : head + 1].cpu()
        if rows is None:
            return reference.attention_pattern(q_T1K, k_T1K, one_head, bias_HE)[0]
        found_RT = torch.zeros(len(rows), len(self))
        for i, row in enumerate(rows):
            self._check("row", row, len(self))
            # a causal query stands at the end of the keys it may see
            keys = slice(row + 1) if spec.causal else slice(None)
            pattern_11L = reference.attention_pattern(q_T1K[row : row + 1], k_T1K[keys], one_head, bias_HE)
            found_RT[i, keys] = pattern_11L[0, 0]
        return found_RT

    def attention_error(self, layer: int) -> float:
        """The largest difference between what the run's kernel put out and what the maps derived here give
        with its values: how far the maps can be trusted."""
        name, module = f"blocks.{layer}.attn", self.model.attentions[layer]
        bias_HE = module.bias_table()
        derived_THK = reference.attend_one(
            self[f"{name}.q"].float(),
            self[f"{name}.k"].float(),
            self[f"{name}.v"].float(),
            module.spec,
            None if bias_HE is None else bias_HE.cpu(),
        )
        return float((derived_THK - self[f"{name}.z"].float()).abs().max())

    @torch.inference_mode()
    def logits(self, layer: int | None = None, rows: Sequence[int] | None = None) -> Tensor:
        """What the head says of the residual stream after a layer (the last by default) at every position, or
        at the given ones, `[T, V]` float32."""
        layer = self.num_layers - 1 if layer is None else layer
        self._check("layer", layer, self.num_layers)
        head = self.model.lm_head.weight
        x_TD = self[f"blocks.{layer}.resid_post"]
        x_TD = (x_TD if rows is None else x_TD[list(rows)]).to(head.device)
        ctx = DenseContext([len(x_TD)], reference, device=head.device)
        return self.model.head(x_TD, ctx).float().cpu()

    def logit_lens(self, top: int = 1, rows: Sequence[int] | None = None) -> LogitLens:
        """The `top` likeliest next tokens after every layer, at every position or at the given ones."""
        ids, probabilities = [], []
        for layer in range(self.num_layers):
            best = torch.softmax(self.logits(layer, rows), dim=-1).topk(top, dim=-1)
            ids.append(best.indices)
            probabilities.append(best.values)
        ids_LTN = torch.stack(ids)
        texts = [[[self.text_of(i) for i in row] for row in layer] for layer in ids_LTN.tolist()]
        return LogitLens(ids_LTN, torch.stack(probabilities), texts)

    def next_tokens(self, top: int = 5, rows: Sequence[int] | None = None) -> list[list[Candidate]]:
        """The whole model's likeliest next tokens at every position that was run, or at the given ones."""
        best = torch.softmax(self.logits(rows=rows), dim=-1).topk(top, dim=-1)
        return [
            [Candidate(i, self.text_of(i), p) for i, p in zip(ids, probabilities, strict=True)]
            for ids, probabilities in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def steps(self, top: int = 5) -> list[list[Candidate]]:
        """The likeliest tokens of each generation step: the last prompt position, then each generated one."""
        return self.next_tokens(top, range(self.prompt_length - 1, len(self)))

    def show(self) -> None:
        """Print maps, logit lens and steps in a readable form."""
        self._viewer(self)

    @property
    def tokens(self) -> list[str]:
        """The texts of the prompt's and the generated tokens."""
        return [self.text_of(i) for i in self.token_ids]

    def _check(self, what: str, value: int, count: int) -> None:
        if not 0 <= value < count:
            raise RequestError(f"there is no {what} {value}; this trace has 0 to {count - 1}")
