"""Frames become tokens by two convolutions, every recording on its own."""

import torch
from torch.nn import functional as F

from pellucid.kernels import reference
from pellucid.layers.context import DenseContext
from pellucid.layers.frame_input import FrameInput, FrameInputConfig


def filled() -> FrameInput:
    torch.manual_seed(0)
    layer = FrameInput(8, FrameInputConfig(num_mels=5, num_tokens=6))
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


@torch.no_grad()
def test_it_is_two_convolutions_and_a_table() -> None:
    layer = filled()
    frames_NFM = torch.randn(3, 12, 5)
    x = frames_NFM.transpose(1, 2)
    for conv, stride in ((layer.conv1, 1), (layer.conv2, 2)):
        weight = conv.weight.unflatten(1, (-1, 3))
        x = F.gelu(F.conv1d(x, weight, conv.bias, stride=stride, padding=1))
    expected = x.transpose(1, 2) + layer.embed_positions.weight
    got = layer(layer.pack(list(frames_NFM)), DenseContext([6, 6, 6], reference))
    torch.testing.assert_close(got, expected.flatten(0, 1))


@torch.no_grad()
def test_company_changes_nothing() -> None:
    layer = filled()
    first, second = torch.randn(2, 12, 5)
    alone = layer(layer.pack([second]), DenseContext([6], reference))
    both = layer(layer.pack([first, second]), DenseContext([6, 6], reference))
    torch.testing.assert_close(both[6:], alone)
