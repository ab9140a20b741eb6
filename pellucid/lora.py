"""LoRARequest, and the adapters that a model has opened for such requests."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pellucid.errors import RequestError
from pellucid.layers.adapter import Adapter
from pellucid.models.adapter_file import Adaptable, adaptable, load_adapter
from pellucid.models.checkpoint import Checkpoint
from pellucid.models.decoder import Decoder
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.registry import FAMILIES


@dataclass(frozen=True)
class LoRARequest:
    """Which LoRA adapter a request is served with.

    `lora_path` is a folder in peft's format. `lora_int_id`, at least 1, stands for it from then on: each is
    read once, and what is cached of one adapter is never used for another. Raises RequestError.
    """

    lora_name: str
    lora_int_id: int
    lora_path: str | os.PathLike[str]

    def __post_init__(self) -> None:
        if not isinstance(self.lora_int_id, int) or self.lora_int_id < 1:
            raise RequestError(f"lora_int_id is {self.lora_int_id!r}; it must be a whole number, at least 1")
        if not self.lora_name or not os.fspath(self.lora_path):
            raise RequestError("a LoRARequest needs a name and the path of the adapter's folder")


class Adapters:
    """The adapters of one model; each is read when it is first asked for and kept."""

    def __init__(self, checkpoint: Checkpoint, model: Decoder | EncoderDecoder) -> None:
        self._checkpoint = checkpoint
        self._model = model
        self._opened: dict[int, tuple[LoRARequest, Adapter]] = {}

    def each(
        self, given: LoRARequest | Sequence[LoRARequest | None] | None, count: int
    ) -> list[Adapter | None]:
        """One adapter for all of `count` prompts, or one or none for each. Raises PellucidError."""
        if not isinstance(given, list | tuple):
            return [self.of(given)] * count  # type: ignore[arg-type]  # what else it may be is refused there
        if len(given) != count:
            raise RequestError(
                f"{count} prompts and {len(given)} LoRARequests were given; give one for all, or one or None "
                "for each"
            )
        return [self.of(request) for request in given]

    def of(self, request: LoRARequest | None) -> Adapter | None:
        """The adapter that is asked for. Raises ConfigError, WeightsError or RequestError."""
        if request is None:
            return None
        if not isinstance(request, LoRARequest):
            raise RequestError(f'lora_request is {request!r}; give LoRARequest("name", 1, "path"), or None')
        if not isinstance(self._model, Decoder):
            raise RequestError(
                f"{self._checkpoint.source.name}: adapters are served over decoders; this is a "
                f"{self._checkpoint.config.model_type}: merge the adapter into it and open that"
            )
        if request.lora_int_id not in self._opened:
            weight = self._model.lm_head.weight
            folder = Path(request.lora_path)
            if not folder.is_dir():
                raise RequestError(f"lora_path {str(folder)!r} is no folder here; download the adapter first")
            adapter = load_adapter(
                folder, request.lora_name, self._model, self._adaptable, weight.dtype, weight.device
            )
            self._opened[request.lora_int_id] = (request, adapter)
        known, adapter = self._opened[request.lora_int_id]
        if known != request:
            raise RequestError(
                f"lora_int_id {request.lora_int_id} stands for {known.lora_name!r} from "
                f"{os.fspath(known.lora_path)!r}; give another adapter another number"
            )
        return adapter

    @cached_property
    def _adaptable(self) -> Adaptable:
        # adapters have the names of the published checkpoint, even where the model is a GGUF file
        family = FAMILIES[self._checkpoint.family.model_type]
        return adaptable(self._checkpoint.empty_body(), family)
