"""What a model that hears reads: recordings, cut into the windows that its encoder takes.

Letters: F frames, M mel bands.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional

from pellucid.audio import Sound, SoundConfig, log_mel, read_sound
from pellucid.engine.memory import Source
from pellucid.errors import RequestError
from pellucid.layers.frame_input import FrameInputConfig
from pellucid.models.checkpoint import Checkpoint
from pellucid.models.encoder_decoder_config import EncoderDecoderConfig
from pellucid.models.published_sound import read_sound_config
from pellucid.prompts import PromptReader, ReadPrompt, as_list
from pellucid.tasks.speech import Speech, completed, read_speech


@dataclass(frozen=True)
class Recording:
    """A sound as frames `[F, M]`."""

    frames_FM: Tensor
    seconds: float


@dataclass(frozen=True)
class SoundReader:
    """Reads sounds, and prompts that are sounds, for one model. Every refusal is a RequestError."""

    config: EncoderDecoderConfig
    sound: SoundConfig
    published: Speech
    """What the checkpoint says; transformers' `generate` goes by it."""
    completed: Speech
    """The same with what older checkpoints leave unsaid, for those who ask for it."""
    prompts: PromptReader
    """What reads the decoder's beginning, where a caller gives it."""

    @property
    def window(self) -> int:
        """How many frames the encoder takes."""
        return self.sound.num_samples // self.sound.hop_length

    def speech(self, language: str | None, task: str | None, times: bool) -> Speech:
        """The settings to go by."""
        asks = language is not None or task is not None or times
        return self.completed if asks else self.published

    def recording(self, sound: Sound) -> Recording:
        """A sound of any length; one shorter than a window fills it."""
        samples_N = read_sound(sound, self.sound.sampling_rate)
        return Recording(log_mel(samples_N, self.sound), len(samples_N) / self.sound.sampling_rate)

    def source(self, recording: Recording, first: int) -> Source:
        """What the encoder reads from frame `first` on; zeros beyond the recording's end."""
        frames_FM = recording.frames_FM[first : first + self.window]
        frames_FM = functional.pad(frames_FM, (0, 0, 0, self.window - len(frames_FM))).contiguous()
        key = hashlib.sha256(frames_FM.numpy().tobytes()).digest()
        return Source(frames_FM, self.config.max_source_length, key)

    def read(self, prompt: Any, *, rendered: bool = False) -> ReadPrompt:
        """A sound as a prompt: alone, or as "audio" in a mapping, beside the "prompt" or "prompt_token_ids"
        that the decoder begins with, by default an English transcription without times."""
        fields = prompt if isinstance(prompt, Mapping) and "array" not in prompt else {"audio": prompt}
        beside = fields.get("multi_modal_data")
        sound = fields.get("audio", beside.get("audio") if isinstance(beside, Mapping) else None)
        if sound is None:
            raise RequestError(
                f"a {self.config.model_type} hears: give a sound's file, or {{'audio': sound, 'prompt': "
                "'<|startoftranscript|><|fr|><|transcribe|>'}; transcribe() does all of it"
            )
        if isinstance(sound, str) and not os.path.exists(sound):
            raise RequestError(f"a {self.config.model_type} hears, and {sound[:80]!r} is no sound's file")
        recording = self.recording(sound)
        if len(recording.frames_FM) > self.window:
            raise RequestError(
                f"the recording lasts {recording.seconds:.1f} seconds, and this model hears "
                f"{self.sound.num_samples / self.sound.sampling_rate:g} at a time: transcribe() takes any "
                "length"
            )
        begin = self._begin(fields)
        return ReadPrompt(
            None,
            begin,
            continues=False,
            source=self.source(recording, 0),
            rules=self.published.rules(len(begin), times=False),
        )

    def _begin(self, fields: Mapping[str, Any]) -> list[int]:
        begins = {name: as_list(fields.get(name)) for name in ("prompt", "prompt_token_ids")}
        if given := {name: begin for name, begin in begins.items() if begin}:
            return self.prompts.read(given, rendered=True).token_ids
        language = "en" if self.completed.languages else None
        begin = self.completed.begin(language, None, times=False)
        return [token for token in begin if token is not None]


def sound_reader(
    config: EncoderDecoderConfig, checkpoint: Checkpoint, eos_token_ids: Sequence[int], prompts: PromptReader
) -> SoundReader:
    """What reads sounds for a checkpoint. Raises ConfigError for settings that are not understood."""
    assert isinstance(config.encoder.input, FrameInputConfig)
    frames = config.encoder.input
    speech = read_speech(config, checkpoint.published, checkpoint.generation, eos_token_ids)
    more = completed(speech.said, prompts.tokenizer, config.vocab_size)
    return SoundReader(
        config=config,
        sound=read_sound_config(checkpoint.source.path, frames.num_mels, frames.num_frames),
        published=speech,
        completed=read_speech(config, checkpoint.published, more, eos_token_ids),
        prompts=prompts,
    )
