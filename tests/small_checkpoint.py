"""Writes a whole published checkpoint, small and random: weights, tokenizer, chat template."""

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = [
    "The cat sat on the mat because it was tired.",
    "A transformer reads tokens, and attention tells each token where to look.",
    "What is AI? Machines that learn from examples.",
    "Grüße, naïve café, 世界, 🙂 and 👩‍👩‍👧.",
]
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]


def write_tokenizer(folder: Path, *, template: str | None = TEMPLATE) -> int:
    """A byte-level BPE trained on a few sentences; its size."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "<|end|>"}
    if template is not None:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return tokenizer.get_vocab_size()


def write_checkpoint(
    folder: Path, *, template: str | None = TEMPLATE, seed: int = 0, endless: bool = False, **config: object
) -> Path:
    """A Llama with random weights, spread so that the likeliest token depends on the context; one that is
    `endless` never chooses to end."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab_size = write_tokenizer(folder, template=template)
    torch.manual_seed(seed)
    shape = {
        "vocab_size": vocab_size,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(shape | config)))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.25)
    if endless:
        # a logit of 0 for the end is never the largest
        model.lm_head.weight.data[1] = 0
    model.save_pretrained(folder)
    return folder
