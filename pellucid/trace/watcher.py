"""Which of an engine's requests are watched, and what of a step is theirs to write down."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from pellucid.engine.batch import Batch
from pellucid.engine.memory import Source
from pellucid.engine.request import Request
from pellucid.layers.context import ForwardContext
from pellucid.trace.record import Record, TracingContext, Watched


class Watcher:
    """Puts a trace's context around the steps, and the encoder's passes, that watched requests are part of.
    The rows of others are left alone."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._sources: dict[Source, Record] = {}

    def __bool__(self) -> bool:
        """Whether any request is watched."""
        return bool(self._records)

    def watch(self, request: Request, record: Record) -> None:
        """Write every value of this request's run down in the record."""
        self._records[request.id] = record
        if request.source is not None:
            self._sources[request.source] = record

    def forget(self, request_id: str) -> None:
        """Watch it no longer, if it was."""
        record = self._records.pop(request_id, None)
        self._sources = {source: kept for source, kept in self._sources.items() if kept is not record}

    def step(self, inside: ForwardContext, batch: Batch) -> ForwardContext:
        watched = []
        for i, piece in enumerate(batch.pieces):
            record = self._records.get(piece.sample.request.id)
            if record is not None:
                first, end = batch.query_starts_N1[i : i + 2].tolist()
                watched.append(Watched(record, slice(first, end), piece.start))
        return TracingContext(inside, watched) if watched else inside

    def encoding(self, inside: ForwardContext, sources: Sequence[Source]) -> ForwardContext:
        starts = pairwise(accumulate((source.num_rows for source in sources), initial=0))
        watched = [
            Watched(self._sources[source], slice(first, end), 0)
            for source, (first, end) in zip(sources, starts, strict=True)
            if source in self._sources
        ]
        return TracingContext(inside, watched) if watched else inside
