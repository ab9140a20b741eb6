"""A picture's trace in the terminal: the picture as patches, and beside it where a head looks.

Letters: C channels, A rows and B columns of patches.
"""

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torch.nn import functional as F

from pellucid.trace.reading import PictureTrace
from pellucid.views.terminal import SHADES, classes_table, last


def show_picture(
    trace: PictureTrace, *, layer: int | None, head: int, console: Console | None = None
) -> None:
    """Print a picture being read: its patches, where the class token looks, what the head says."""
    console, layer = console or Console(), last(trace, layer)
    table = Table(box=None, pad_edge=False, padding=(0, 4, 0, 0))
    table.add_column("the picture, a cell a patch")
    table.add_column(f"where the class token looks, layer {layer}, head {head}")
    map_AB = trace.patches(layer, head)
    table.add_row(thumbnail(trace), shaded(map_AB))
    console.print(Group(table, "", in_words(trace, map_AB, layer, head)))
    if trace.has_head:
        console.print("", classes_table(trace.logit_lens(top=3)))


def thumbnail(trace: PictureTrace) -> RenderableType:
    """The mean colour of each patch, lighter cells for lighter patches."""
    means_CAB = F.adaptive_avg_pool2d(trace.pixels, trace.grid)
    low, high = means_CAB.min(), means_CAB.max()
    levels_CAB = (means_CAB - low) / (high - low).clamp_min(1e-6)
    lines = Text()
    for row in range(trace.grid[0]):
        for column in range(trace.grid[1]):
            level_C = levels_CAB[:, row, column]
            red, green, blue = (int(255 * level) for level in level_C.expand(3).tolist())
            lines.append(cell(float(level_C.mean())), f"rgb({red},{green},{blue})")
        lines.append("\n")
    return lines


def shaded(map_AB: Tensor) -> RenderableType:
    """The weights as cells, the fullest where most is looked at."""
    share_AB = map_AB / map_AB.max()
    return Text("\n".join("".join(cell(weight) for weight in row) for row in share_AB.tolist()))


def cell(level: float) -> str:
    """A number from 0 to 1 as two cells of a shade."""
    return SHADES[min(len(SHADES) - 1, int(level * len(SHADES)))] * 2


def in_words(trace: PictureTrace, map_AB: Tensor, layer: int, head: int) -> RenderableType:
    """The patches that are looked at most, and what an even share would be."""
    best = map_AB.flatten().topk(min(3, map_AB.numel()))
    places = ", ".join(
        f"row {int(at) // trace.grid[1]} column {int(at) % trace.grid[1]} {weight:.3f}"
        for at, weight in zip(best.indices, best.values.tolist(), strict=True)
    )
    itself = float(trace.attention(layer, head, [0])[0, 0])
    return Text(
        f"most at {places}; at itself {itself:.3f}; an even share would be {1 / len(trace):.3f}", "dim"
    )
