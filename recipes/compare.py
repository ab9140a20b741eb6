"""Measures why transformers won, one experiment a command, and writes what was found into docs/.

    pellucid train compare speed             training tokens/s against length, beside an LSTM
    pellucid train compare recall            how far back each of the two remembers
    pellucid train compare parts --text T    the same decoder without residuals, norm, positions, heads, gate
    pellucid train compare sizes --text T    loss against size, five sizes
    pellucid train compare cache             the KV cache on and off, against length
    pellucid train compare translation --text P    a translator beside an LSTM with attention

T is a plain text, say https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt,
P the pairs of the recipe `translate`, http://www.manythings.org/anki/fra-eng.zip.
"""

from pathlib import Path

from pellucid.errors import SourceError
from recipes.compare_experiments import EXPERIMENTS
from recipes.compare_page import NEEDS, keep, section, write_page
from recipes.recipe_arguments import recipe_parser

DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> None:
    parser = recipe_parser(__doc__)
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--text", type=Path, help="a plain text to learn from, for parts and sizes")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page is written")
    parser.add_argument("--scale", type=float, default=1.0, help="how many steps, by the usual number")
    args = parser.parse_args()
    if args.experiment in NEEDS and (args.text is None or not args.text.is_file()):
        raise SourceError(
            f"{args.experiment} learns from a file: give --text FILE, as `pellucid train compare -h` says"
        )
    finding = EXPERIMENTS[args.experiment](args.text, args.scale)
    keep(args.experiment, finding, args.docs)
    print(section(args.experiment, finding))
    print(f"The page is {write_page(args.docs, list(EXPERIMENTS))}")


if __name__ == "__main__":
    main()
