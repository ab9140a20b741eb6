"""Traces of bodies that write text: a decoder's, and an encoder-decoder's with both its sides.

Letters: T tokens that were run, S rows of the encoder, R rows asked for.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from pellucid.models.decoder import Decoder
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.trace.maps import AttentionMaps, at_most
from pellucid.trace.record import Record
from pellucid.trace.stack import StackTrace
from pellucid.trace.trace import Head, Names, Trace, Viewer, probabilities


class Candidate(NamedTuple):
    """One possible next token."""

    token_id: int
    text: str
    probability: float


class TextTrace(Trace):
    """A text being written. The tokens that were run are the prompt and all generated ones but the last."""

    def __init__(
        self,
        model: Decoder | EncoderDecoder,
        record: Record,
        token_ids: Sequence[int],
        prompt_length: int,
        pieces: Names,
        viewer: Viewer,
        *,
        within: str = "",
    ) -> None:
        """`token_ids`: the prompt, then everything generated; `pieces` is how a person reads them,
        `viewer` how the whole is shown to one."""
        head = Head(model.head, model.lm_head.weight.device, pieces)
        super().__init__(record, model.attentions, pieces(token_ids), head, viewer, within=within)
        self.token_ids = list(token_ids)
        self.prompt_length = prompt_length
        self._pieces = pieces

    def next_tokens(self, top: int = 5, rows: Sequence[int] | None = None) -> list[list[Candidate]]:
        """The whole model's likeliest next tokens at every position that was run, or at the given ones."""
        shares_RV = probabilities(self.logits(rows=rows))
        best = shares_RV.topk(at_most(top, shares_RV.shape[-1]), dim=-1)
        return [
            [Candidate(*each) for each in zip(ids, self._pieces(ids), shares, strict=True)]
            for ids, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def steps(self, top: int = 5) -> list[list[Candidate]]:
        """The likeliest tokens of each generation step: the last prompt position, then each generated one."""
        return self.next_tokens(top, range(self.prompt_length - 1, len(self)))


class TranslationTrace(TextTrace):
    """One text written while another is read. What `Trace` says is of the decoder, whose prompt is how the
    checkpoint begins an answer; `encoder` is the other side, and `cross_attention` how the first looks at
    the second. `blocks.3.cross_attn.k`, `.v` have a row for each of the encoder's."""

    def __init__(
        self,
        model: EncoderDecoder,
        record: Record,
        token_ids: Sequence[int],
        prompt_length: int,
        pieces: Names,
        viewer: Viewer,
        *,
        source: Sequence[str],
    ) -> None:
        """`source`: how a person reads each row of the encoder."""
        super().__init__(model, record, token_ids, prompt_length, pieces, viewer, within="decoder.")
        self.encoder = StackTrace(record, model.encoder_attentions, source, within="encoder.")
        self._cross = self._maps["cross_attn"] = AttentionMaps(record, model.cross_attentions)

    def cross_attention(self, layer: int, head: int, rows: Sequence[int] | None = None) -> Tensor:
        """Where one head of the decoder looks in the source: `[T, S]`, float32, or only the given query rows
        of it, `[R, S]`. Raises RequestError for a layer, head or row that is not there."""
        return self._cross.map(layer, head, rows)

    def cross_attention_error(self, layer: int) -> float:
        """`attention_error` of the maps over the source."""
        return self._cross.error(layer)
