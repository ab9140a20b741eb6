"""The bias over distance: T5's published buckets, symmetric or causal, constant beyond the last."""

import pytest
import torch

from pellucid.layers.distance_bias import DistanceBias, DistanceBiasConfig, buckets


def config(**changed) -> DistanceBiasConfig:
    return DistanceBiasConfig(
        **{"num_heads": 3, "num_buckets": 32, "max_distance": 128, "bidirectional": True, **changed}
    )


def test_near_distances_have_a_bucket_each() -> None:
    bucket_E = buckets(config())
    assert bucket_E[128 - 7 : 129].tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    assert bucket_E[129 : 129 + 7].tolist() == [17, 18, 19, 20, 21, 22, 23]


def test_a_decoder_gives_all_buckets_to_the_past() -> None:
    bucket_E = buckets(config(bidirectional=False))
    assert bucket_E[128:].eq(0).all()
    assert bucket_E[0] == 31
    assert bucket_E[128 - 15] == 15


@pytest.mark.parametrize("num_buckets", [8, 32, 20])
@pytest.mark.parametrize("max_distance", [16, 128])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_equal_the_published_ones(num_buckets, max_distance, bidirectional) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    reach = torch.arange(-max_distance, max_distance + 1)
    published = T5Attention._relative_position_bucket(reach, bidirectional, num_buckets, max_distance)
    ours = buckets(config(num_buckets=num_buckets, max_distance=max_distance, bidirectional=bidirectional))
    assert torch.equal(ours, published)
    far = torch.tensor([-9999, 9999])
    beyond = T5Attention._relative_position_bucket(far, bidirectional, num_buckets, max_distance)
    assert torch.equal(ours[[0, -1]], beyond)


def test_the_table_has_a_row_a_head() -> None:
    bias = DistanceBias(config())
    torch.nn.init.normal_(bias.weight)
    table_HE = bias.table()
    assert table_HE.shape == (3, 257)
    assert torch.equal(table_HE[:, 128], bias.weight[0])
