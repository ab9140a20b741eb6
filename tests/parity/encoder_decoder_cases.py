"""Configurations of encoder-decoders to hold to transformers."""

from typing import Any

BART = {
    "vocab_size": 60, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2, "forced_eos_token_id": 2,
}  # fmt: skip
MARIAN = {**BART, "pad_token_id": 59, "eos_token_id": 0, "decoder_start_token_id": 59, "forced_eos_token_id": 0, "scale_embedding": True}  # fmt: skip
T5 = {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}  # fmt: skip

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("T5ForConditionalGeneration", T5),
    "t5-uneven": (
        "T5ForConditionalGeneration",
        {**T5, "num_decoder_layers": 3, "d_kv": 16, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20},
    ),
    "t5-1.1": ("T5ForConditionalGeneration", {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "t5-silu": ("T5ForConditionalGeneration", {**T5, "feed_forward_proj": "gated-silu"}),
    "marian": ("MarianMTModel", MARIAN),
    "marian-uneven": (
        "MarianMTModel",
        {**MARIAN, "encoder_layers": 3, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 40, "activation_function": "swish"},
    ),
    "marian-two-vocabularies": (
        "MarianMTModel",
        {**MARIAN, "share_encoder_decoder_embeddings": False, "decoder_vocab_size": 50, "pad_token_id": 49, "decoder_start_token_id": 49},
    ),
    "marian-untied": ("MarianMTModel", {**MARIAN, "tie_word_embeddings": False}),
    "bart-untied": ("BartForConditionalGeneration", {**BART, "tie_word_embeddings": False}),
    "bart": ("BartForConditionalGeneration", BART),
    "bart-relu": ("BartForConditionalGeneration", {**BART, "activation_function": "relu", "scale_embedding": True, "encoder_layers": 1}),
}  # fmt: skip
