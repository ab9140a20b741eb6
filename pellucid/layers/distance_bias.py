"""A bias over distance: added to the scores, learned a bucket of distances at a time.

Letters: H query heads, N buckets, E entries of the table, entry E // 2 being distance 0.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class DistanceBiasConfig:
    """How many buckets share the distances; from `max_distance` on all fall into the last."""

    num_heads: int
    num_buckets: int
    max_distance: int
    bidirectional: bool
    """Whether keys after the query have buckets of their own (encoders)."""


class DistanceBias(nn.Module):
    """`bias[bucket(key - query)]` for each head: near distances have a bucket each, far ones share
    buckets that grow geometrically (Raffel et al. 2020, "T5", section 2.1). A stack shares one."""

    def __init__(self, config: DistanceBiasConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.num_buckets, config.num_heads))
        self.register_buffer("bucket_E", buckets(config), persistent=False)

    def table(self) -> Tensor:
        """The bias of every distance `[H, E]`; beyond either end it stays as there."""
        return self.weight[self.get_buffer("bucket_E")].t()


class NoDistanceBias(nn.Module):
    """Scores stay as they are."""

    def table(self) -> None:
        return None


def buckets(config: DistanceBiasConfig) -> Tensor:
    """The bucket of each distance from -max_distance to max_distance, `[E]` int64."""
    distance_E = torch.arange(-config.max_distance, config.max_distance + 1, device="cpu")
    if config.bidirectional:
        one_way = config.num_buckets // 2
        after_E = (distance_E > 0) * one_way
        return after_E + one_way_buckets(distance_E.abs(), one_way, config.max_distance)
    return one_way_buckets((-distance_E).clamp_min(0), config.num_buckets, config.max_distance)


def one_way_buckets(distance: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """The first half of the buckets hold one distance each, the others reach `max_distance` geometrically."""
    exact = num_buckets // 2
    growth = torch.log(distance.clamp_min(1).float() / exact) / math.log(max_distance / exact)
    far = exact + (growth * (num_buckets - exact)).long()
    return torch.where(distance < exact, distance, far.clamp_max(num_buckets - 1))
