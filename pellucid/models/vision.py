"""The vision body: pictures in, a vector a patch out, and what a head makes of them.

Letters: N pictures, C channels, Y rows, X columns, P tokens of a picture, T = N * P, D hidden, V outputs.
"""

import torch
from torch import Tensor, nn

from pellucid.errors import RequestError
from pellucid.kernels import Kernels, reference
from pellucid.layers.attention import Attention
from pellucid.layers.block import make_blocks
from pellucid.layers.context import DenseContext, ForwardContext
from pellucid.layers.norm import make_norm
from pellucid.layers.patch_input import PatchInput
from pellucid.models.head import make_head
from pellucid.models.vision_config import VisionConfig


class Vision(nn.Module):
    """`head(norm(blocks(patches)))`: an encoder whose tokens are patches (Dosovitskiy et al. 2021)."""

    name = ""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        D = config.hidden_size
        self.input = PatchInput(D, config.input)
        self.blocks = make_blocks(D, config.blocks)
        self.norm = make_norm(config.final_norm, D)
        self.heads = nn.ModuleDict()
        if config.head:
            self.heads[config.head.task] = make_head(D, config.head)
        for path, module in self.named_modules():
            module.name = path
        self.attentions = [module for module in self.modules() if isinstance(module, Attention)]

    def forward(self, pixels_NCYX: Tensor, ctx: ForwardContext) -> Tensor:
        """The published head's outputs, `[N, V]`."""
        x_TD = self.input(pixels_NCYX, ctx)
        for block in self.blocks:
            x_TD = block(x_TD, ctx)
        return self.head(x_TD, ctx)

    def head(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        """What the published head makes of any residual stream; without a head, the stream normed."""
        x_TD = self.norm(x_TD, ctx)
        for head in self.heads.values():
            return head(x_TD, ctx)
        return x_TD

    def context(self, num_pictures: int, kernels: Kernels) -> DenseContext:
        """A context for so many pictures: each is a sequence of its own."""
        device = self.norm.weight.device
        return DenseContext([self.config.input.num_tokens] * num_pictures, kernels, device=device)

    def tie_weights(self) -> None:
        """Nothing is shared."""

    @torch.inference_mode()
    def logits(self, pixel_values: Tensor) -> Tensor:
        """The published head's output `[N, V]` for pictures `[N, C, Y, X]`, or `[V]` for one `[C, Y, X]`; a
        bare encoder gives `[N * P, D]`. Raises RequestError for another shape than the model was made for.
        """
        wanted = (self.config.input.channels, *self.config.input.image_size)
        if tuple(pixel_values.shape[-3:]) != wanted or pixel_values.dim() not in (3, 4):
            raise RequestError(
                f"pixel_values have the shape {list(pixel_values.shape)}; this {self.config.model_type} "
                f"reads {list(wanted)}, or several of them"
            )
        weight = self.input.patch_proj.weight
        pixels_NCYX = pixel_values.reshape(-1, *wanted).to(weight.device, weight.dtype)
        answer: Tensor = self(pixels_NCYX, self.context(len(pixels_NCYX), reference))
        return answer[0] if pixel_values.dim() == 3 and self.config.head else answer
