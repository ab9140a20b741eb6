"""Small shapes of encoders, of texts and of pictures, to hold to transformers."""

from typing import Any

SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
DISTIL = {
    "vocab_size": 60,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 48,
    "max_position_embeddings": 40,
}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
MODERN = {**SMALL, **SPECIAL, "num_hidden_layers": 4}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("BertModel", SMALL),
    ("BertForMaskedLM", SMALL),
    ("BertForMaskedLM", {**SMALL, "hidden_act": "gelu_new", "tie_word_embeddings": False, "layer_norm_eps": 1e-5}),
    ("BertForPreTraining", {**SMALL, "type_vocab_size": 1}),
    ("BertForSequenceClassification", {**SMALL, "num_labels": 3, "num_attention_heads": 1}),
    ("BertForTokenClassification", {**SMALL, "num_labels": 5, "hidden_act": "relu"}),
    ("RobertaForMaskedLM", {**SMALL, "pad_token_id": 1, "type_vocab_size": 1}),
    ("RobertaForSequenceClassification", {**SMALL, "pad_token_id": 1}),
    ("RobertaForTokenClassification", {**SMALL, "pad_token_id": 3, "num_labels": 4}),
    ("XLMRobertaModel", {**SMALL, "pad_token_id": 1}),
    ("DistilBertModel", DISTIL),
    ("DistilBertForMaskedLM", {**DISTIL, "activation": "relu"}),
    ("DistilBertForSequenceClassification", {**DISTIL, "num_labels": 2}),
    ("DistilBertForTokenClassification", {**DISTIL, "num_labels": 3, "sinusoidal_pos_embds": True}),
    ("ModernBertForMaskedLM", {**MODERN, "local_attention": 8}),
    ("ModernBertForMaskedLM", {**MODERN, "attention_bias": True, "mlp_bias": True, "norm_bias": True, "decoder_bias": False}),
    ("ModernBertForSequenceClassification", {**MODERN, "classifier_pooling": "mean", "local_attention": 6}),
    ("ModernBertForSequenceClassification", {**MODERN, "classifier_bias": True, "global_attn_every_n_layers": 2}),
    ("ModernBertForTokenClassification", {**MODERN, "num_labels": 3, "local_attention": 16}),
]  # fmt: skip
VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 32, "patch_size": 8}  # fmt: skip
