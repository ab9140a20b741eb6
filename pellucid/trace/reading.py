"""Traces of bodies that read and write nothing: a text in an encoder, a picture cut into patches.

Letters: T tokens, R rows of the head, V its outputs, C channels, Y rows and X columns of pixels, A rows and
B columns of patches.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from pellucid.models.encoder import Encoder
from pellucid.models.head_config import HeadConfig
from pellucid.models.vision import Vision
from pellucid.tasks.labelling import scores
from pellucid.trace.record import Record
from pellucid.trace.trace import Head, Names, Trace, Viewer

FIRST_TOKENS = ("[class]", "[distilled]")
"""What stands before the patches: ViT's class token, and DeiT's that learned from a teacher."""


class EncoderTrace(Trace):
    """A text being read: every token looks at those before it and after it."""

    def __init__(
        self,
        model: Encoder,
        record: Record,
        token_ids: Sequence[int],
        output: Tensor,
        pieces: Names,
        viewer: Viewer,
        *,
        mask_id: int | None = None,
    ) -> None:
        """`output`: what the run gave `[R, V]`; `mask_id`: the token that stands where a word is to be
        found."""
        device = model.input.embed_tokens.weight.device
        head = published_head(model, model.config.head, device, pieces)
        super().__init__(record, model.attentions, pieces(token_ids), head, viewer)
        self.token_ids = list(token_ids)
        self.output = output
        self.masks = [row for row, token in enumerate(token_ids) if token == mask_id]
        """The rows in which a word is to be found."""


class PictureTrace(Trace):
    """A picture being read: the class token, perhaps a second one, and the patches, row by row."""

    def __init__(
        self, model: Vision, record: Record, pixels_CYX: Tensor, output: Tensor, viewer: Viewer
    ) -> None:
        """`pixels_CYX`: the picture as the model read it; `output`: what the run gave."""
        shape = model.config.input
        (height, width), (patch_height, patch_width) = shape.image_size, shape.patch_size
        self.grid = height // patch_height, width // patch_width
        """How many rows and columns of patches there are."""
        self.num_first = shape.special_tokens
        """How many tokens stand before the patches."""
        places = [f"{row},{column}" for row in range(self.grid[0]) for column in range(self.grid[1])]
        head = published_head(model, model.config.head, model.norm.weight.device)
        super().__init__(record, model.attentions, [*FIRST_TOKENS[: self.num_first], *places], head, viewer)
        self.pixels = pixels_CYX
        self.output = output

    def patches(self, layer: int, head: int, row: int = 0) -> Tensor:
        """Where in the picture a token looks, the class token by default: `[A, B]`, a number a patch. What
        it gives itself and the other first token is not in it, so the sum is below 1."""
        (map_T,) = self.attention(layer, head, [row])
        return map_T[self.num_first :].view(self.grid)


def no_words(ids: Sequence[int]) -> list[str]:
    """The numbers themselves."""
    return [str(i) for i in ids]


def published_head(
    model: Encoder | Vision, config: HeadConfig | None, device: torch.device, pieces: Names = no_words
) -> Head | None:
    """How to read the head of a body that has one."""
    if config is None:
        return None
    labels = config.labels

    def named(outputs: Sequence[int]) -> list[str]:
        return [labels[i] for i in outputs]

    return Head(
        model.head,
        device,
        named if labels else pieces,
        each_token=config.task in ("words", "tokens"),
        scores=partial(scores, head=config),
    )
