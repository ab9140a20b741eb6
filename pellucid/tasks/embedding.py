"""Sentence embeddings: one vector a text, near for texts that mean nearly the same.

Letters: T tokens, N sequences, D hidden.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.engine.encoder_runner import ReadsTexts
from pellucid.errors import RequestError
from pellucid.layers.context import ForwardContext
from pellucid.layers.linear import Linear
from pellucid.layers.pooling import POOLINGS
from pellucid.models.encoder import Encoder
from pellucid.models.safetensors_file import read_header, weight_files
from pellucid.prompts import Prompt, as_prompts
from pellucid.tasks.outputs import EmbeddingOutput, EmbeddingRequestOutput
from pellucid.tasks.packing import run_packed
from pellucid.tasks.sentence_folder import DenseConfig, SentenceConfig, read_sentence_config
from pellucid.tasks.texts import TextReader
from pellucid.text import Tokenizer


class SentenceDense(nn.Module):
    """`act(W x + b)` over sentence vectors."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.linear = Linear(config.in_features, config.out_features, bias=config.bias)

    def forward(self, x_ND: Tensor, ctx: ForwardContext) -> Tensor:
        y_ND = self.linear(x_ND, ctx)
        return y_ND if self.activation is None else ctx.kernels.activation(y_ND, self.activation)


class SentenceHead(nn.Module):
    """`normalise(dense(pool(x)))`, each where the config has it."""

    def __init__(self, config: SentenceConfig) -> None:
        super().__init__()
        self.pools = nn.ModuleList(POOLINGS[name]() for name in config.pooling)
        self.dense = nn.ModuleList(SentenceDense(dense) for dense in config.dense)
        self.normalize = config.normalize

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        x_ND = torch.cat([pool(x_TD, ctx) for pool in self.pools], dim=-1)
        for dense in self.dense:
            x_ND = dense(x_ND, ctx)
        return F.normalize(x_ND, dim=-1) if self.normalize else x_ND


class Embedder:
    """An encoder whose token vectors become one vector a text, as its folder says."""

    def __init__(
        self, model: Encoder, tokenizer: Tokenizer | None, folder: Path | None, runner: ReadsTexts
    ) -> None:
        """`folder` is looked through for the sentence-transformers layout; without it the mean is taken."""
        self.model, self.runner = model, runner
        self.config = read_sentence_config(folder) if folder else SentenceConfig()
        table = model.input.embed_tokens.weight
        self.head = load_head(self.config, table.dtype, table.device)
        self.reader = TextReader(tokenizer, model.config.vocab_size, model.config.max_position_embeddings)

    def embed(
        self,
        prompts: Prompt | Sequence[Prompt],
        *,
        prompt_name: str | None = None,
        truncate_prompt_tokens: int | None = None,
    ) -> list[EmbeddingRequestOutput]:
        """One vector for each text, in the order given.

        `prompt_name`: which of the folder's published prompts goes before each text, its default one if it
        has one. `truncate_prompt_tokens`: cut longer texts; by default at the folder's `max_seq_length`, and
        a text longer than the model is refused where it has none. Raises RequestError.
        """
        before = self._before(prompt_name)
        limit = truncate_prompt_tokens or self.config.max_length
        read = [self.reader.read(self._written(p, before), limit) for p in as_prompts(prompts)]
        vectors_ND = self.vectors([r.token_ids for r in read]).tolist()
        return [
            EmbeddingRequestOutput(str(i), r.text, r.token_ids, EmbeddingOutput(vector))
            for i, (r, vector) in enumerate(zip(read, vectors_ND, strict=True))
        ]

    def vectors(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """The vectors `[N, D]`, float32, of texts that are token ids already."""

        def forward(ids_T: Tensor, lengths: list[int]) -> list[Tensor]:
            hidden_TD = self.runner.hidden(ids_T, lengths)
            return list(self.head(hidden_TD, self.runner.head_context(lengths)).float())

        if not sequences:
            return torch.empty(0, 0)
        device = self.model.input.embed_tokens.weight.device
        return torch.stack(run_packed(sequences, forward, device))

    def _before(self, name: str | None) -> str:
        name = name or self.config.default_prompt
        if name is None:
            return ""
        if name not in self.config.prompts:
            known = ", ".join(self.config.prompts) or "none"
            raise RequestError(f"prompt_name is {name!r}; the prompts this model was published with: {known}")
        return self.config.prompts[name]

    def _written(self, prompt: Prompt, before: str) -> Prompt:
        if isinstance(prompt, Mapping) and isinstance(prompt.get("prompt"), str):
            prompt = prompt["prompt"]
        if not isinstance(prompt, str):
            return prompt
        return before + (prompt.lower() if self.config.lower_case else prompt)


def load_head(config: SentenceConfig, dtype: torch.dtype, device: torch.device) -> SentenceHead:
    """The head with the weights of its folders."""
    head = SentenceHead(config)
    for dense, module in zip(config.dense, head.dense, strict=True):
        stored = {tensor.name: tensor for file in weight_files(dense.folder) for tensor in read_header(file)}
        module.load_state_dict({name: tensor.whole() for name, tensor in stored.items()})
    return head.to(device, dtype).requires_grad_(False).eval()
