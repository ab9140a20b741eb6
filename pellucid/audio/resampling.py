"""Brings a recording to another sampling rate.

Letters: N samples, J periods, P phases of a period, K taps of a filter, W samples that a group of phases
sees.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

ZERO_CROSSINGS = 48
"""How far a filter reaches to each side, in periods of the lower rate."""
BETA = 9.0
"""Of the Kaiser window: what is above half the lower rate comes through 90 dB quieter."""
PASSED = 0.96
"""The share of half the lower rate at which a filter is down to half."""
GROUP = 64
"""How many phases are made by one product: enough to be quick, few enough to see much the same samples."""
PIECE = 2**22
"""How many samples are copied at a time."""


def resample(samples_N: Tensor, rate: int, wanted: int) -> Tensor:
    """The same sound at `wanted` samples a second, float32.

    Band-limited interpolation (Smith & Gossett 1984, "A flexible sampling-rate conversion method"): each new
    sample is the old ones around it, weighted by a sinc under a Kaiser window. New samples lie between old
    ones as those a period before them do, so there is one filter for each phase of a period.
    """
    if rate == wanted or not len(samples_N):
        return samples_N.float()
    common = math.gcd(rate, wanted)
    # a period of one phase would do at 48,000 Hz; several periods as one make a group
    together = -(-GROUP * common // wanted)
    step, phases = rate // common * together, wanted // common * together
    length = -(-len(samples_N) * phases // step)
    cutoff = PASSED * min(1.0, wanted / rate)
    reach = math.ceil(ZERO_CROSSINGS / cutoff)
    padded = functional.pad(samples_N.float(), (reach, reach + 2 * step))
    periods = -(-length // phases)
    result_JP = torch.empty(periods, phases)
    for first in range(0, phases, GROUP):
        phase_P = torch.arange(first, min(first + GROUP, phases))
        # new sample p of a period lies at old sample p * step / phases of it
        whole_P = phase_P * step // phases
        filters_PK = windowed_sincs(phase_P * step % phases / phases, cutoff, reach)
        seen_WP = side_by_side(filters_PK, whole_P - whole_P[0])
        around_JW = padded[int(whole_P[0]) :].unfold(0, len(seen_WP), step)
        at_once = max(1, PIECE // len(seen_WP))
        for start in range(0, periods, at_once):
            some = slice(start, min(start + at_once, periods))
            result_JP[some, first : first + GROUP] = around_JW[some] @ seen_WP
    return result_JP.flatten()[:length]


def side_by_side(filters_PK: Tensor, offset_P: Tensor) -> Tensor:
    """The filters of a group as columns `[W, P]`, each as far down as its offset says."""
    P, K = filters_PK.shape
    seen_WP = torch.zeros(int(offset_P[-1]) + K, P)
    seen_WP[offset_P[:, None] + torch.arange(K), torch.arange(P)[:, None]] = filters_PK
    return seen_WP


def windowed_sincs(shift_P: Tensor, cutoff: float, reach: int) -> Tensor:
    """The weights `[P, K]` of the old samples from `reach` before to `reach` after, for new ones that lie
    `shift` after the middle one."""
    at_PK = torch.arange(-reach, reach + 1, dtype=torch.float32) - shift_P[:, None].float()
    sinc_PK = torch.special.sinc(at_PK * cutoff) * cutoff
    inside_PK = (1 - (at_PK / (reach + 1)).square()).clamp_min(0).sqrt()
    return sinc_PK * torch.special.i0(BETA * inside_PK) / torch.special.i0(torch.tensor(BETA))
