"""What one stack of blocks computed in a run: its values by name, and its attention maps."""

from collections.abc import Sequence

from torch import Tensor

from pellucid.layers.context import Attends
from pellucid.trace.maps import AttentionMaps
from pellucid.trace.record import Record


class StackTrace:
    """A decoder's or an encoder's own part of a run.

    Layers and heads count from 0, heads are query heads, rows are queries.
    """

    def __init__(
        self, record: Record, attentions: Sequence[Attends], tokens: Sequence[str], *, within: str = ""
    ) -> None:
        """`tokens`: how a person reads each row (more of them than rows, where the last were not run);
        `within`: what stands before the names of this stack where a body has two ("encoder.")."""
        self.record = record
        self.tokens = list(tokens)
        self.num_layers = len(attentions)
        self.num_heads = attentions[0].spec.num_heads
        self._within = within
        self._attention = AttentionMaps(record, attentions)
        self._maps = {"attn": self._attention}

    def __len__(self) -> int:
        """How many tokens were run."""
        return len(self["blocks.0.resid_pre"])

    def __getitem__(self, name: str) -> Tensor:
        """A value by name: `blocks.3.attn.q` is `[T, H, K]` as tapped, `blocks.3.resid_post` `[T, D]`, and
        `blocks.3.attn.pattern` the maps of all heads, `[H, T, T]`, derived. KeyError lists the names."""
        if name not in self.names:
            raise KeyError(f"{name!r} was not tapped; there are {', '.join(self.names)}")
        at, _, what = name.rpartition(".")
        if what != "pattern":
            return self.record.read(self._within + name)
        _, layer, kind = at.split(".")
        return self._maps[kind].pattern(int(layer))

    @property
    def names(self) -> list[str]:
        """Every name that `[]` knows here."""
        found = []
        for full in self.record.names:
            if full.startswith(f"{self._within}blocks."):
                name = full.removeprefix(self._within)
                found += [name, f"{name[:-1]}pattern"] if name.endswith("attn.z") else [name]
        return found

    def attention(self, layer: int, head: int, rows: Sequence[int] | None = None) -> Tensor:
        """The attention map `[T, T]` of one head, float32; or only the given query rows of it, `[rows, T]`.

        It is recomputed from the queries and keys of the run. Raises RequestError for a layer, head or row
        that is not there.
        """
        return self._attention.map(layer, head, rows)

    def attention_error(self, layer: int) -> float:
        """The largest difference between what the run's kernel put out and what the maps derived here give
        with its values: how far the maps can be trusted."""
        return self._attention.error(layer)
