"""VisionConfig: everything a vision body is built from."""

from dataclasses import dataclass

from pellucid.layers.block import BlockConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.patch_input import PatchInputConfig
from pellucid.models.head_config import HeadConfig


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """A vision model's shape and arithmetic, and the head it was published with."""

    model_type: str
    hidden_size: int
    input: PatchInputConfig
    blocks: tuple[BlockConfig, ...]
    final_norm: NormConfig
    head: HeadConfig | None
    """None: a bare encoder, whose answer is a vector a token."""
    dtype: str | None = None
    """The dtype the weights were published in, if the config says."""

    @property
    def vocab_size(self) -> None:
        """It reads pixels."""
        return None

    @property
    def num_layers(self) -> int:
        return len(self.blocks)
