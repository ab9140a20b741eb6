"""Any folder of text files: a vocabulary, a small decoder, and text completed in its manner.

    pellucid train text my_texts/ --prompt "Once upon a time"

Reads every .txt and .md file below the folder, or the one file named.
"""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from pellucid.device import half_precision, resolve_device
from pellucid.errors import SourceError
from pellucid.training import TrainConfig
from recipes.from_text import complete, small_llama, train_on_text
from recipes.recipe_arguments import positive, read_text, recipe_parser

LEAST = 20_000
"""Characters below which nothing worth having is learned."""


def read_texts(place: Path, least: int = LEAST) -> str:
    """All texts below a folder, or one file's. Raises SourceError if there are fewer characters."""
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.suffix in (".txt", ".md"))
    text = "\n\n".join(map(read_text, files))
    if len(text) < least:
        raise SourceError(
            f"{place}: {len(files)} text files with {len(text):,} characters; give a file, or a folder of "
            f".txt or .md files, with at least {least:,}"
        )
    return text


def byte_pairs(text: str, size: int) -> Tokenizer:
    """A byte-level BPE vocabulary of the text's own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    return tokenizer


def main() -> None:
    parser = recipe_parser(__doc__)
    parser.add_argument("texts", type=Path, help="a folder of .txt or .md files, or one file")
    parser.add_argument("--folder", type=Path, default=Path("runs/text"))
    parser.add_argument("--prompt", default="The", help="what to complete at the end")
    parser.add_argument("--steps", type=positive, default=2000)
    parser.add_argument("--vocab", type=positive, default=2048)
    parser.add_argument("--layers", type=positive, default=4)
    parser.add_argument("--width", type=positive, default=192)
    parser.add_argument("--context", type=positive, default=128)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    text = read_texts(args.texts)
    tokenizer = byte_pairs(text, args.vocab)
    ids = np.array(tokenizer.encode(text).ids, np.int32)
    heads = max(1, args.width // 32)
    fields = small_llama(tokenizer.get_vocab_size(), args.layers, heads, args.width, args.context)
    plan = TrainConfig(
        steps=args.steps,
        lr=1e-3,
        average=0.99,
        patience=4,
        autocast=half_precision(resolve_device("auto")),
        seed=args.seed,
    )
    card = f"# A small decoder\n\nTrained by Pellucid's recipe `text` on {args.texts.name}."
    windows = max(1, 2048 // args.context)
    model = train_on_text(
        ids, tokenizer, fields, plan, args.folder, windows_per_step=windows, dropout=0.1, card=card
    )
    complete(model, args.prompt)


if __name__ == "__main__":
    main()
