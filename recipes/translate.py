"""The original Transformer, small, from English to French.

    pellucid train translate fra-eng.zip

The pairs: http://www.manythings.org/anki/fra-eng.zip, sentences of Tatoeba's contributors (CC BY 2.0). The
settings are those of the bundled `pellucid/en-fr`. Run again, it goes on where it stopped.
"""

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer

from pellucid.device import resolve_device
from pellucid.kernels import torch_ops
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.registry import read_config
from pellucid.training import TrainConfig, initialise, publish, train
from pellucid.training.loss import TargetOfSource
from pellucid.training.optim import adamw, muon, plateau
from pellucid.training.pairs import Pairs, Ragged
from recipes.translate_data import BOS, EOS, SPECIAL, Pair, byte_pairs, read_pairs, split

LONGEST = 128
"""Tokens of a source or a target; a pair with more is left out."""
FURTHER = 0.3
"""How often a source's second, third ... translation is trained on, beside its first."""


def shape(vocab_size: int, width: int, encoder: int, decoder: int) -> dict[str, object]:
    """The published config of a small Transformer."""
    heads = width // 64
    return {
        "architectures": ["Transformer"],
        "model_type": "transformer",
        "vocab_size": vocab_size,
        "d_model": width,
        "encoder_layers": encoder,
        "decoder_layers": decoder,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": 4 * width,
        "decoder_ffn_dim": 4 * width,
        "max_position_embeddings": 256,
        "activation_function": "relu",
        **{f"{name}_token_id": SPECIAL.index(token) for name, token in (("pad", EOS), ("bos", BOS))},
        "eos_token_id": SPECIAL.index(EOS),
        "decoder_start_token_id": SPECIAL.index(BOS),
    }


def encode(tokenizer: Tokenizer, pairs: list[Pair], tokens_per_step: int, seed: int) -> Pairs:
    """What a model trains on: a source ends with EOS, a target begins with BOS and ends with EOS."""
    bos, eos = SPECIAL.index(BOS), SPECIAL.index(EOS)

    def ids(texts: list[str]) -> list[list[int]]:
        return [found.ids for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    sources = [[*found, eos] for found in ids([pair.english for pair in pairs])]
    targets = [[bos, *found, eos] for found in ids([pair.french for pair in pairs])]
    shares = torch.tensor([1.0 if pair.first else FURTHER for pair in pairs]).double().numpy()
    fits = [i for i in range(len(pairs)) if max(len(sources[i]), len(targets[i])) <= LONGEST]
    return Pairs(
        Ragged([sources[i] for i in fits]),
        Ragged([targets[i] for i in fits]),
        shares[fits],
        tokens_per_step,
        seed,
    )


def save_text(folder: Path, tokenizer: Tokenizer) -> None:
    """tokenizer.json, tokenizer_config.json and generation_config.json."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": EOS,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    generation = {
        "bos_token_id": SPECIAL.index(BOS),
        "eos_token_id": SPECIAL.index(EOS),
        "decoder_start_token_id": SPECIAL.index(BOS),
        "num_beams": 4,
        "max_length": LONGEST,
        "do_sample": False,
    }
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path, help="fra-eng.zip, or the fra.txt in it")
    parser.add_argument("--folder", type=Path, default=Path("runs/translate"))
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument(
        "--decay", type=int, default=1500, help="the last steps, in which the rate falls to 0"
    )
    parser.add_argument("--tokens", type=int, default=2500, help="tokens a step, sources and targets")
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--vocab", type=int, default=4000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--encoder", type=int, default=3, help="layers")
    parser.add_argument("--decoder", type=int, default=2, help="layers")
    parser.add_argument("--optimizer", choices=("adamw", "muon"), default="muon")
    parser.add_argument("--float32", action="store_true", help="no products in bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    training, validation, _ = split(read_pairs(args.pairs))
    path = args.folder / "tokenizer.json"
    if not path.exists():
        byte_pairs([text for pair in training for text in (pair.english, pair.french)], args.vocab).save(
            str(path)
        )
    tokenizer = Tokenizer.from_file(str(path))
    source = encode(tokenizer, training, args.tokens, args.seed)
    held_out = encode(tokenizer, [pair for pair in validation if pair.first], 8000, 0).all()
    fields = shape(tokenizer.get_vocab_size(), args.width, args.encoder, args.decoder)
    family, config = read_config(fields)
    model = family.build(config)
    assert isinstance(model, EncoderDecoder)
    initialise(model, seed=args.seed, std=args.width**-0.5)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters, {len(source.sources):,} pairs, {source.steps_in(0):,} steps an epoch")
    model.to(resolve_device("auto"))
    target = args.folder / "model"

    def save(step: int) -> None:
        publish(target, model, family, fields)
        save_text(target, tokenizer)

    plan = TrainConfig(
        steps=args.steps,
        lr=args.lr,
        schedule=plateau(args.steps, warmup=200, decay=args.decay),
        optimizer={"adamw": adamw, "muon": muon}[args.optimizer],
        weight_decay=0.05,
        betas=(0.9, 0.98),
        average=0.998,
        save_every=100,
        evaluate_every=250,
        autocast=None if args.float32 else torch.bfloat16,
        seed=args.seed,
    )
    task = TargetOfSource(torch_ops, dropout=args.dropout, label_smoothing=0.1)
    train(model, source, task, plan, args.folder, held_out=held_out, on_evaluation=save)


if __name__ == "__main__":
    main()
