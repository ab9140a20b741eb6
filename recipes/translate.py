"""The original Transformer, small, from English to French.

    pellucid train translate fra-eng.zip

The pairs: http://www.manythings.org/anki/fra-eng.zip, sentences of Tatoeba's contributors (CC BY 2.0). On two
CPU cores the defaults take 40 minutes, to a BLEU of about 41. The bundled `pellucid/en-fr` reached 47 by
`--tokens 20000 --lr 5e-3 --steps 4150 --decay 1037 --dropout 0.15`, five times as many tokens, in four
minutes of a GPU. Run again, it goes on where it stopped.
"""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer

from pellucid import translate
from pellucid.device import resolve_device
from pellucid.kernels import torch_ops
from pellucid.models.encoder_decoder import EncoderDecoder
from pellucid.models.publishing import publish, publish_text
from pellucid.models.registry import read_config
from pellucid.training import initialise, train
from pellucid.training.loss import TargetOfSource
from recipes.recipe_arguments import positive, recipe_parser
from recipes.translate_data import BOS, EOS, LONGEST, SPECIAL, prepare
from recipes.translate_plan import add_settings, plan


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
        "task_specific_params": {
            "translation_en_to_fr": {"prefix": "", "num_beams": 4, "max_length": LONGEST}
        },
        **{f"{name}_token_id": SPECIAL.index(token) for name, token in (("pad", EOS), ("bos", BOS))},
        "eos_token_id": SPECIAL.index(EOS),
        "decoder_start_token_id": SPECIAL.index(BOS),
    }


def build(args: argparse.Namespace, fields: dict[str, object]) -> EncoderDecoder:
    """A model of this config with random weights."""
    family, config = read_config(fields)
    model = family.build(config)
    assert isinstance(model, EncoderDecoder)
    initialise(model, seed=args.seed, std=args.width**-0.5)
    return model.to(resolve_device("auto"))


def task(args: argparse.Namespace) -> TargetOfSource:
    """What it is trained to do."""
    return TargetOfSource(torch_ops, dropout=args.dropout, label_smoothing=0.1)


def save_model(folder: Path, model: EncoderDecoder, fields: dict[str, object], tokenizer: Tokenizer) -> None:
    """A checkpoint that LLM opens: weights, tokenizer, and how translations are searched for."""
    family, _ = read_config(fields)
    publish(folder, model, family, fields, dtype=torch.float16)  # half the bytes, and the same scores
    generation = {
        "bos_token_id": SPECIAL.index(BOS),
        "eos_token_id": SPECIAL.index(EOS),
        "decoder_start_token_id": SPECIAL.index(BOS),
        "num_beams": 4,
        "max_length": LONGEST,
        "do_sample": False,
    }
    publish_text(folder, tokenizer, {"bos_token": BOS, "eos_token": EOS, "pad_token": EOS}, generation)


def card(parameters: int, step: int, pairs: int) -> str:
    """The model's README.md."""
    return (
        "---\nlicense: cc-by-2.0\nlanguage: [en, fr]\npipeline_tag: translation\n---\n"
        "# A small Transformer, from English to French\n\n"
        f"{parameters:,} parameters, {step:,} steps on {pairs:,} pairs by Pellucid's recipe `translate`.\n\n"
        "The pairs: sentences of Tatoeba's contributors (tatoeba.org), CC BY 2.0, by way of "
        "manythings.org/anki. `python -m recipes.translate_exam` scores it.\n"
    )


def main() -> None:
    parser = recipe_parser(__doc__)
    add_settings(parser)
    parser.add_argument("--folder", type=Path, default=Path("runs/translate"))
    parser.add_argument("--encoder", type=positive, default=3, help="layers")
    parser.add_argument("--decoder", type=positive, default=2, help="layers")
    args = parser.parse_args()
    tokenizer, source, held_out = prepare(args.pairs, args.folder, args.vocab, args.tokens, args.seed)
    fields = shape(tokenizer.get_vocab_size(), args.width, args.encoder, args.decoder)
    model = build(args, fields)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters, {len(source.sources):,} pairs, {source.steps_in(0):,} steps an epoch")
    target = args.folder / "model"

    def save(step: int) -> None:
        save_model(target, model, fields, tokenizer)
        (target / "README.md").write_text(card(parameters, step, len(source.sources)))

    train(model, source, task(args), plan(args), args.folder, held_out=held_out, on_evaluation=save)
    print(f"The checkpoint is {target}; Hello world: {translate('Hello world', str(target))}")


if __name__ == "__main__":
    main()
