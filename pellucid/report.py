"""What a demonstration run was made of: the guide's six steps with this run's values, and its figures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One generation step: the likeliest tokens `(text, probability)`, and the one that was taken."""

    candidates: Sequence[tuple[str, float]]
    chosen: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run of `demo`, for people (views) and machines (`--json`)."""

    model: str
    prompt: str
    answer: str
    finish_reason: str
    tokens: Sequence[tuple[int, str]]
    """The prompt as the model read it: ids and their texts, chat template included."""
    output_token_ids: Sequence[int]
    steps: Sequence[Step]
    """The first few."""
    sampling: str
    """How tokens were chosen, and who said so."""
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int
    vocab_size: int
    positions: str
    """Which kind of positions the model has."""
    parameters: int
    dtype: str
    weight_bytes: int
    weight_bytes_per_token: int
    """What one decoding step reads of them."""
    kv_bytes_per_token: int
    kv_blocks: int
    block_size: int
    time_to_first_token: float
    """Seconds from the request to its first token."""
    decode_seconds: float
    """Seconds from the first token to the last."""
    load_seconds: float
    read_bandwidth: float
    """Bytes a second this machine reads from memory, measured just before."""

    @property
    def kv_bytes(self) -> int:
        """Bytes of the keys and values of all tokens that were run."""
        return self.kv_bytes_per_token * (len(self.tokens) + max(0, len(self.output_token_ids) - 1))

    @property
    def tokens_per_second(self) -> float | None:
        """Decoding speed; None for a run of fewer than two tokens."""
        steps = len(self.output_token_ids) - 1
        return steps / self.decode_seconds if steps > 0 and self.decode_seconds > 0 else None

    @property
    def bandwidth_share(self) -> float | None:
        """How much of the memory bandwidth decoding used. A token takes one reading of the weights and of the
        sequence's keys and values, so 1.0 is as fast as this machine can go at this size."""
        speed = self.tokens_per_second
        if speed is None or not self.read_bandwidth:
            return None
        mean_length = len(self.tokens) + len(self.output_token_ids) / 2
        per_token = self.weight_bytes_per_token + self.kv_bytes_per_token * mean_length
        return speed * per_token / self.read_bandwidth

    @property
    def rows_with_cache(self) -> int:
        """Tokens that went through the layers in this run: each once."""
        return len(self.tokens) + max(0, len(self.output_token_ids) - 1)

    @property
    def rows_without_cache(self) -> int:
        """Tokens that would have, if every step had computed its whole prefix again."""
        return sum(len(self.tokens) + i for i in range(max(1, len(self.output_token_ids))))

    def as_dict(self) -> dict[str, Any]:
        """Every value, derived ones included, for `--json`."""
        derived = (
            "kv_bytes",
            "tokens_per_second",
            "bandwidth_share",
            "rows_with_cache",
            "rows_without_cache",
        )
        return asdict(self) | {name: getattr(self, name) for name in derived}
