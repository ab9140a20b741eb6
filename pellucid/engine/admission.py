"""Which requests an engine can ever serve; the others are refused at once, with the reason."""

from dataclasses import dataclass

from pellucid.engine.request import Request
from pellucid.engine.scheduler import Scheduler
from pellucid.errors import RequestError
from pellucid.sampling.params import BeamSearchParams, SamplingParams


def width_of(params: SamplingParams | BeamSearchParams) -> int:
    """How many samples run side by side."""
    return params.n if isinstance(params, SamplingParams) else params.beam_width


def limit_of(request: Request, max_model_len: int) -> int:
    """How many tokens, the prompt included, each sample may have."""
    asked = request.params.max_tokens
    return max_model_len if asked is None else min(max_model_len, len(request.prompt_token_ids) + asked)


@dataclass(frozen=True)
class Admission:
    """What an engine's limits allow."""

    max_model_len: int
    vocab_size: int
    max_source_len: int | None
    """The most rows that the encoder makes of a source; None where there is no encoder."""
    scheduler: Scheduler

    def check(self, request: Request) -> None:
        """Raises RequestError for a request that does not fit this model and this engine."""
        ids, width = request.prompt_token_ids, width_of(request.params)
        max_num_seqs = self.scheduler.config.max_num_seqs
        if not len(ids):
            raise RequestError("the prompt has no tokens: give at least one")
        if len(ids) >= self.max_model_len:
            raise RequestError(
                f"the prompt has {len(ids)} tokens, but prompt and output together can have "
                f"{self.max_model_len}: shorten it, or raise max_model_len if the model and the memory allow"
            )
        if outside := [i for i in ids if not 0 <= i < self.vocab_size]:
            raise RequestError(
                f"the prompt holds token id {outside[0]}; the model has 0 to {self.vocab_size - 1}"
            )
        if width > max_num_seqs:
            raise RequestError(
                f"{width} samples side by side, but max_num_seqs={max_num_seqs}: ask for fewer or raise it"
            )
        self._check_source(request)
        if isinstance(request.params, SamplingParams):
            request.params.check_vocabulary(self.vocab_size)
            self._check_blocks(request, 1)
        else:
            # beams wait for each other, so all of them must fit at once, whatever they share
            self._check_blocks(request, width)

    def _check_source(self, request: Request) -> None:
        if (request.source is None) != (self.max_source_len is None):
            needs = "reads a source with its encoder" if self.max_source_len else "has no encoder"
            raise RequestError(f"this model {needs}: give a request a source if and only if its model does")
        if request.source is None or self.max_source_len is None:
            return
        if not 0 < request.source.num_rows <= self.max_source_len:
            raise RequestError(
                f"the input has {request.source.num_rows} tokens, and this model's encoder reads from 1 to "
                f"{self.max_source_len}: cut it into parts"
            )

    def _check_blocks(self, request: Request, width: int) -> None:
        config = self.scheduler.config
        needed = width * self.scheduler.blocks_for(limit_of(request, self.max_model_len))
        if request.source is not None:
            needed += -(-request.source.num_rows // config.block_size)
        if needed > config.num_blocks:
            what = f"{width} beams" if width > 1 else "this request"
            lower = "beam_width or max_tokens" if width > 1 else "max_tokens"
            raise RequestError(
                f"{what} may need {needed} blocks of {config.block_size} tokens, and the cache has "
                f"{config.num_blocks}: lower {lower}, or give the cache more memory"
            )
