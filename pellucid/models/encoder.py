"""The encoder-only body: tokens in, a vector each out, and what a head makes of them.

Letters: T tokens, D hidden, R rows of the head, V its outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pellucid.kernels import reference
from pellucid.layers.attention import Attention
from pellucid.layers.block import make_blocks
from pellucid.layers.context import DenseContext, ForwardContext
from pellucid.layers.norm import Unchanged, make_norm
from pellucid.layers.token_input import TokenInput
from pellucid.models.encoder_config import EncoderConfig
from pellucid.models.head import make_head
from pellucid.models.ids import ids_tensor


class Encoder(nn.Module):
    """`head(norm(blocks(input(ids))))`, packed; every token sees every token of its sequence (Devlin et al.
    2018, "BERT")."""

    name = ""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        D = config.hidden_size
        self.input = TokenInput(config.vocab_size, D, config.input)
        self.blocks = make_blocks(D, config.blocks)
        self.norm = make_norm(config.final_norm, D) if config.final_norm else Unchanged()
        # named by what it is for, since checkpoints hold heads for several things side by side
        self.heads = nn.ModuleDict()
        if config.head:
            self.heads[config.head.task] = make_head(D, config.head)
        self.tie_weights()
        for path, module in self.named_modules():
            module.name = path
        self.attentions = [module for module in self.modules() if isinstance(module, Attention)]

    def forward(self, ids_T: Tensor, ctx: ForwardContext, types_T: Tensor | None = None) -> Tensor:
        """The published head's outputs `[R, V]`: a row a token, or a row a sequence."""
        return self.head(self.blocks_of(ids_T, ctx, types_T), ctx)

    def hidden(self, ids_T: Tensor, ctx: ForwardContext, types_T: Tensor | None = None) -> Tensor:
        """The vector of each token, `[T, D]`, that heads and sentence embeddings start from."""
        return self.norm(self.blocks_of(ids_T, ctx, types_T), ctx)

    def blocks_of(self, ids_T: Tensor, ctx: ForwardContext, types_T: Tensor | None = None) -> Tensor:
        """The residual stream after the last block, `[T, D]`."""
        x_TD = self.input(ids_T, ctx, types_T)
        for block in self.blocks:
            x_TD = block(x_TD, ctx)
        return x_TD

    def head(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        """What the published head makes of any residual stream; without a head, the stream normed."""
        x_TD = self.norm(x_TD, ctx)
        for head in self.heads.values():
            return head(x_TD, ctx)
        return x_TD

    def tie_weights(self) -> None:
        """Make the words that are predicted the words that are read, where the config says so."""
        if self.config.head and self.config.head.tied:
            self.heads.get_submodule("words.out_proj").weight = self.input.embed_tokens.weight

    @torch.inference_mode()
    def logits(
        self, input_ids: Sequence[int] | Tensor, token_type_ids: Sequence[int] | Tensor | None = None
    ) -> Tensor:
        """The published head's output for one sequence of ids: `[T, V]` for masked words and token classes,
        `[1, V]` for a sequence class, `[T, D]` for a bare encoder."""
        device = self.input.embed_tokens.weight.device
        ids_T = ids_tensor(input_ids, self.config.vocab_size, device)
        types_T = None
        if token_type_ids is not None:
            types_T = torch.as_tensor(token_type_ids, dtype=torch.int64, device=device)
        return self(ids_T, DenseContext([len(ids_T)], reference, device=device), types_T)
