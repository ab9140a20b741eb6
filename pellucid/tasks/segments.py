"""Cuts what was written for one window of a recording at its times, and says how far to move on.

As `generate` of transformers does it for recordings of any length (Radford et al. 2022, section 3.8: the next
window begins where the last whole segment ends).
"""

from collections.abc import Sequence
from dataclasses import dataclass

FRAMES = 2
"""How many log-mel frames a step of the times stands for."""


@dataclass(frozen=True)
class Span:
    """A segment within its window; times count in steps from the window's beginning."""

    start: int
    end: int
    token_ids: tuple[int, ...]


def cut(token_ids: Sequence[int], first_time: int, num_frames: int) -> tuple[list[Span], int]:
    """The segments of a window of `num_frames`, and how many frames to move on.

    `token_ids` are what was written, without the token that ended it; those from `first_time` on are times.
    Where two times stand together a segment ends and the next begins; what comes after the last such pair is
    written anew with the next window, which begins there, unless a time of its own ends it.
    """
    is_time = [token >= first_time for token in token_ids]
    ends = [at for at in range(1, len(token_ids)) if is_time[at - 1] and is_time[at]]
    if not ends:
        return [_whole(token_ids, first_time, num_frames)], num_frames
    ends_alone = is_time[-2:] == [False, True]
    if ends_alone:
        ends.append(len(token_ids))
    else:
        ends[-1] += 1  # the time that would begin the next segment shows that this one was followed
    spans = []
    for start, end in zip([0, *ends], ends, strict=False):
        last = end - 1 if end != ends[-1] or ends_alone else end - 2
        spans.append(
            Span(token_ids[start] - first_time, token_ids[last] - first_time, tuple(token_ids[start:end]))
        )
    moved = num_frames if ends_alone else (token_ids[ends[-1] - 2] - first_time) * FRAMES
    # a model that was never trained may end where it began
    return spans, moved if moved > 0 else num_frames


def _whole(token_ids: Sequence[int], first_time: int, num_frames: int) -> Span:
    """All of a window as one segment, until the last time that it holds."""
    times = [token for token in token_ids if token >= first_time]
    last = times[-1] - first_time if times else 0
    # transformers counts the steps of a recording's last window in float32, where 54 frames make 26 of them
    return Span(0, last or num_frames // FRAMES, tuple(token_ids))
