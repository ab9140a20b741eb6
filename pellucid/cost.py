"""What running a model on a machine was measured to cost, for people (views) and machines (`--json`)."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One measurement. Rates are tokens a second, times milliseconds of one decoding step."""

    model: str
    backend: str
    weights: str
    weight_bytes_per_token: int
    kv_cache: str
    """What keys and values are kept in."""
    kv_bytes_per_token: int
    """What those of one token take in all layers together."""
    threads: int
    prompt_tokens: int
    new_tokens: int
    prefill_rate: float
    decode_rate: float
    read_bandwidth: float
    """Bytes a second, measured just before."""
    schedule_ms: float
    model_ms: float
    sample_ms: float
    operations_ms: dict[str, float]
    """Of the model's part, by kind of operation; empty where the model is not run from a tape."""
    why_no_tape: str
    instruction_sets: dict[str, bool]
    """Those that the C++ kernels were built for, and whether this processor has each."""

    @property
    def bandwidth_share(self) -> float:
        """How much of what memory can deliver the weights alone take at the decoding rate."""
        return self.decode_rate * self.weight_bytes_per_token / self.read_bandwidth

    @property
    def between_ms(self) -> float:
        """Of the model's part, what is spent outside its operations."""
        return self.model_ms - sum(self.operations_ms.values()) if self.operations_ms else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Everything, for machines."""
        return asdict(self) | {"bandwidth_share": self.bandwidth_share, "between_ms": self.between_ms}
