"""One model's tasks: whatever its body and head can do, and a clear refusal of the rest."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pellucid.engine.backend import choose_backend
from pellucid.engine.encoder_runner import ReadsTexts
from pellucid.errors import RequestError
from pellucid.images import Picture
from pellucid.kernels import torch_ops
from pellucid.models.body import Body
from pellucid.models.encoder import Encoder
from pellucid.models.vision import Vision
from pellucid.prompts import Prompt
from pellucid.tasks.embedding import Embedder
from pellucid.tasks.labelling import TextClassifier
from pellucid.tasks.masked_words import MaskFiller
from pellucid.tasks.outputs import (
    ClassificationRequestOutput,
    TokenClassificationRequestOutput,
)
from pellucid.tasks.pictures import PictureClassifier, PictureReader
from pellucid.text import Tokenizer


class Tasks:
    """What a body that writes no text does, made when it is first asked for."""

    def __init__(self, body: Body, tokenizer: Tokenizer | None, folder: Path | None, name: str) -> None:
        self.body, self.tokenizer, self.folder, self.name = body, tokenizer, folder, name

    def classify(
        self,
        inputs: Prompt | Picture | Sequence[Prompt | Picture],
        *,
        truncate_prompt_tokens: int | None = None,
    ) -> list[ClassificationRequestOutput] | list[TokenClassificationRequestOutput]:
        """The class of each text, of each of its tokens, or of each picture, as the model was published for.

        See `TextClassifier.classify` and `PictureClassifier.classify`; to a vision model a str is a path.
        """
        if isinstance(self.body, Vision):
            return self._picture_classifier.classify(inputs)  # type: ignore[arg-type]  # refused there if not
        prompts: Any = inputs
        return self._text_classifier.classify(prompts, truncate_prompt_tokens=truncate_prompt_tokens)

    @cached_property
    def embedder(self) -> Embedder:
        """What makes a vector of each text."""
        return Embedder(self._encoder("embed"), self.tokenizer, self.folder, self.runner)

    @cached_property
    def _text_classifier(self) -> TextClassifier:
        return TextClassifier(self._encoder("classify"), self.tokenizer, self.runner)

    @cached_property
    def _picture_classifier(self) -> PictureClassifier:
        assert isinstance(self.body, Vision)
        return PictureClassifier(self.body, self.picture_reader, torch_ops)

    @cached_property
    def picture_reader(self) -> PictureReader:
        """What makes pixels of a picture for a vision model."""
        assert isinstance(self.body, Vision) and self.folder is not None
        return PictureReader(self.body, self.folder)

    @cached_property
    def mask_filler(self) -> MaskFiller:
        """What finds the likeliest words for each mask of a text."""
        return MaskFiller(self._encoder("fill_mask"), self.tokenizer, self.runner)

    @cached_property
    def runner(self) -> ReadsTexts:
        """What carries an encoder's passes out."""
        assert isinstance(self.body, Encoder)
        weight = self.body.input.embed_tokens.weight
        return choose_backend(weight.device, weight.dtype).make_encoder(self.body)

    def _encoder(self, what: str) -> Encoder:
        if isinstance(self.body, Encoder):
            return self.body
        raise RequestError(f"{self.name}: a {self.body.config.model_type} is no encoder, which {what} needs")
