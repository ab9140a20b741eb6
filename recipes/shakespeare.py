"""A character-level decoder on Shakespeare, at nanoGPT's published settings for a laptop's CPU.

    pellucid train shakespeare tinyshakespeare.txt

The text: https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt
4 layers, 4 heads, width 128, context 64, batch 12, 2,000 steps, no dropout: some minutes on a CPU.
"""

from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from pellucid.device import half_precision, resolve_device
from pellucid.training import TrainConfig
from pellucid.training.optim import cosine
from recipes.from_text import complete, small_llama, train_on_text
from recipes.recipe_arguments import positive, read_text, recipe_parser


def character_tokenizer(text: str) -> Tokenizer:
    """Every character that occurs is a token, and one stands for all others."""
    vocabulary = {c: i for i, c in enumerate(["\ufffd", *sorted(set(text) - {"\ufffd"})])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="\ufffd"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def main() -> None:
    parser = recipe_parser(__doc__)
    parser.add_argument("text", type=Path, help="the file to learn from")
    parser.add_argument("--folder", type=Path, default=Path("runs/shakespeare"))
    parser.add_argument("--steps", type=positive, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    text = read_text(args.text)
    tokenizer = character_tokenizer(text)
    ids = np.array(tokenizer.encode(text).ids, np.int32)
    fields = small_llama(tokenizer.get_vocab_size(), layers=4, heads=4, width=128, context=64)
    plan = TrainConfig(
        steps=args.steps,
        lr=1e-3,
        betas=(0.9, 0.99),
        schedule=cosine(args.steps, warmup=100),
        evaluate_every=500,
        save_every=500,
        autocast=half_precision(resolve_device("auto")),
        seed=args.seed,
    )
    card = f"# A character-level decoder\n\nTrained by Pellucid's recipe `shakespeare` on {args.text.name}."
    model = train_on_text(
        ids, tokenizer, fields, plan, args.folder, windows_per_step=12, dropout=0.0, card=card
    )
    complete(model, "\n")


if __name__ == "__main__":
    main()
