"""Examines a translator on the test share of the pairs: BLEU and chrF, beams through the engine.

    python -m recipes.translate_exam pellucid/en-fr fra-eng.zip

The test share: sentences whose sha1, lower-cased, is 0 modulo 50; no translation of them is trained on. The
one reference of each is its first translation in the file. Scored by sacrebleu: 13a, with capitals.
"""

import json
import time
from pathlib import Path

from pellucid import LLM, translate
from recipes.recipe_arguments import recipe_parser
from recipes.translate_data import Pair, read_pairs, split


def sentences(path: Path, validation: bool = False, first: int | None = None) -> list[Pair]:
    """The test share's sentences, or the validation share's, each with its first translation."""
    _, held_out, test = split(read_pairs(path))
    return [pair for pair in (held_out if validation else test) if pair.first][:first]


def score(written: list[str], pairs: list[Pair]) -> tuple[str, str, float]:
    """BLEU and chrF as sacrebleu prints them, and the number of the first."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    references = [[pair.french for pair in pairs]]
    bleu, chrf = BLEU(), CHRF()
    found = bleu.corpus_score(written, references)
    return (
        f"{found}  ({bleu.get_signature()})",
        f"{chrf.corpus_score(written, references)}  ({chrf.get_signature()})",
        found.score,
    )


def main() -> None:
    parser = recipe_parser(__doc__)
    parser.add_argument("model", help="what LLM opens: pellucid/en-fr, a folder ...")
    parser.add_argument("pairs", type=Path, help="fra-eng.zip, or the fra.txt in it")
    parser.add_argument("--validation", action="store_true", help="the validation share instead")
    parser.add_argument("--first", type=int, help="only so many sentences")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--show", type=int, default=10, help="print so many translations")
    parser.add_argument("--json", type=Path, help="write every translation here")
    args = parser.parse_args()
    pairs = sentences(args.pairs, args.validation, args.first)
    llm = LLM(args.model, dtype=args.dtype)
    begin = time.monotonic()
    written = translate([pair.english for pair in pairs], llm)
    seconds = time.monotonic() - begin
    for number in range(0, len(pairs), max(1, len(pairs) // max(1, args.show))):
        print(f"{pairs[number].english}\n  {written[number]}\n  ({pairs[number].french})")
    print(f"{len(pairs):,} sentences in {seconds:.0f} s")
    print(*score(written, pairs)[:2], sep="\n")
    if args.json:
        rows = [
            {"english": pair.english, "reference": pair.french, "written": text}
            for pair, text in zip(pairs, written, strict=True)
        ]
        args.json.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
