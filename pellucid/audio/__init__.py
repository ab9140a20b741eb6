"""From a sound to log-mel frames: read safely, made mono at one rate, then seen as Whisper sees it."""

from pellucid.audio.mel import SoundConfig, log_mel
from pellucid.audio.reading import Sound, read_sound

__all__ = ["Sound", "SoundConfig", "log_mel", "read_sound"]
