"""Small random Whispers, with the settings that published ones have, and sounds for them to hear."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from parity import random_models

SECOND = 16000
WINDOW = 64
"""Frames that the small models hear at once."""
TINY = {
    "vocab_size": 120, "num_mel_bins": 80, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_source_positions": WINDOW // 2,
    "max_target_positions": 40, "pad_token_id": 60, "bos_token_id": 60, "eos_token_id": 60, "decoder_start_token_id": 61,
    "begin_suppress_tokens": None, "suppress_tokens": None, "tie_word_embeddings": False,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "whisper": TINY,
    "whisper-uneven": {**TINY, "encoder_layers": 1, "decoder_layers": 3, "decoder_attention_heads": 2, "decoder_ffn_dim": 40, "num_mel_bins": 128},
    "whisper-relu": {**TINY, "activation_function": "relu", "encoder_attention_heads": 8, "scale_embedding": True},
    "whisper-tied": {**TINY, "tie_word_embeddings": True},
}  # fmt: skip
# Tokens 0 to 59 are words, then: end, start, three languages, two tasks, the rest as published, and the times.
SPOKEN = {
    "is_multilingual": True,
    "lang_to_id": {"<|en|>": 62, "<|fr|>": 63, "<|haw|>": 64},
    "task_to_id": {"translate": 65, "transcribe": 66},
    "prev_sot_token_id": 68,
    "no_timestamps_token_id": 70,
    "max_initial_timestamp_index": 5,
    "suppress_tokens": [3, 4, 61, 65, 66, 67, 68, 69],
    "begin_suppress_tokens": [7, 60],
}  # fmt: skip
ENGLISH = {
    "is_multilingual": False,
    "no_timestamps_token_id": 70,
    "forced_decoder_ids": [[1, 70]],
    "suppress_tokens": [5, 61, 68, 69],
    "begin_suppress_tokens": [8, 60],
}


def make(fields: dict[str, Any], settings: dict[str, Any], folder: Path, seed: int = 0):
    """A published model with these settings, saved."""
    published = random_models.make(transformers.WhisperForConditionalGeneration, fields, seed)
    with torch.no_grad():
        if not fields["tie_word_embeddings"]:
            published.proj_out.weight = torch.nn.Parameter(torch.randn_like(published.proj_out.weight))
        for name, parameter in published.named_parameters():
            if "encoder_attn.q_proj" in name or "encoder_attn.out_proj" in name or "conv" in name:
                parameter *= 4  # so that what is heard decides what is written
    for name, value in settings.items():
        setattr(published.generation_config, name, value)
    random_models.save(published, folder)
    return published


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Chirps over noise, different for every seed."""
    rng = np.random.default_rng(seed)
    at = np.arange(int(seconds * SECOND)) / SECOND
    chirps = sum(
        np.sin(2 * np.pi * (rng.uniform(100, 3000) * at + rng.uniform(-900, 900) * at**2)) for _ in range(3)
    )
    loud = np.interp(at, np.linspace(0, seconds, 9), rng.uniform(0, 0.3, 9))
    return (loud * chirps + 0.01 * rng.standard_normal(len(at))).astype(np.float32)


def features(samples: np.ndarray, num_mels: int = 80, window: int = WINDOW) -> torch.Tensor:
    """What transformers' extractor makes of a sound of any length, `[1, M, F]`."""
    extractor = transformers.WhisperFeatureExtractor(feature_size=num_mels)
    extractor.n_samples = window * 160
    made = extractor(
        samples, sampling_rate=SECOND, return_tensors="pt", truncation=False,
        padding="max_length" if len(samples) <= window * 160 else "longest",
    )  # fmt: skip
    return made.input_features
