r"""Trains the bundled model `pellucid/guide`: a small decoder that answers questions about transformers.

    python -m recipes.guide --from pellucid/guide
    torchrun --nproc-per-node 2 -m recipes.guide --from pellucid/guide --parts 2 \
        --everyday fra-eng.zip --meaning runs/meaning

The second, with what `recipes.guide_meaning` wrote into runs/meaning, and --steps 8400 --decay 2500, is how
the bundled model was last trained, from a narrower one: two hours on two CPU cores. fra-eng.zip is the file
that `pellucid train translate` takes. Run again, it goes on where it stopped. From random weights it learns
the text, but what `guide_pronouns` teaches only a model that can speak.
"""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from pellucid.device import half_precision, resolve_device
from pellucid.models import hub
from pellucid.models.decoder import Decoder
from pellucid.models.loading import load_model
from pellucid.models.publishing import publish, publish_text
from pellucid.models.registry import read_config
from pellucid.training import Documents, TrainConfig, initialise, train
from pellucid.training.optim import plateau
from recipes import guide_phrases as phrases
from recipes.guide_corpus import BOS, END, EOS, Marked
from recipes.guide_growing import carry_over
from recipes.guide_meaning import BAGS, AndMeaning, LessonsAndMeanings, Student, Understood, read_meanings
from recipes.guide_pronouns import Lessons, TextAndPronouns
from recipes.guide_wording import THESAURUS
from recipes.guide_writing import (
    CONTEXT,
    Encoded,
    documents,
    encode,
    everyday_questions,
    everyday_sentences,
    first_words,
    sentences,
    write,
)
from recipes.recipe_arguments import recipe_parser

COMMON = 80
"""How often each word that people may ask with stands in what the vocabulary is made from."""
HELD_OUT = 1000
"""Documents, and sentences with pronouns, that training never sees."""
SPECIAL = [EOS, BOS, END, "<|user|>", "<|assistant|>", "<|system|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "head_dim": 32,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": False,
    "bos_token_id": SPECIAL.index(BOS),
    "eos_token_id": [SPECIAL.index(EOS), SPECIAL.index(END)],
}


def lessons(
    tokenizer: Tokenizer,
    text: Encoded,
    lines: list[list[Marked]],
    tokens: int,
    seed: int,
    share: float,
) -> Lessons:
    """Documents and sentences with pronouns, of so many tokens a step; the latter have `share` of them."""
    pronouns = int(tokens * share)
    weights = [[(piece, weight) for piece, weight, _ in line] for line in lines]
    marks = [[(piece, float(mark)) for piece, _, mark in line] for line in lines]
    return Lessons(
        Documents(*text, tokens - pronouns, seed),
        Documents(*encode(tokenizer, weights), pronouns, seed),
        Documents(*encode(tokenizer, marks), pronouns, seed),
    )


def train_tokenizer(texts: list[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=3,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, SPECIAL.index(BOS))]
    )
    return tokenizer


def common_words() -> list[str]:
    """Words that people may ask with, each often enough to become a token of its own."""
    words = [word for phrase in THESAURUS for word in phrase.split()] + phrases.ANY_WORDS
    return [f" {word}" for word in words] * COMMON


def save_text(folder: Path, tokenizer: Tokenizer) -> None:
    """tokenizer.json, tokenizer_config.json and generation_config.json."""
    settings = {
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": EOS,
        "model_max_length": CONTEXT,
        "chat_template": TEMPLATE,
    }
    generation = {key: SHAPE[key] for key in ("bos_token_id", "eos_token_id")} | {"do_sample": False}
    publish_text(folder, tokenizer, settings, generation)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = recipe_parser(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/guide"))
    parser.add_argument("--publish", type=Path, help="write the checkpoint here; default: FOLDER/model")
    parser.add_argument("--from", dest="start", help="begin with the weights of this model, not random ones")
    parser.add_argument("--steps", type=int, default=3500)
    parser.add_argument("--decay", type=int, default=2000, help="the last steps, while the rate falls to 0")
    parser.add_argument("--tokens", type=int, default=1900, help="tokens a step of text and pronouns")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--average", type=float, default=0.997, help="the decay of the weights' average")
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--dropout", type=float, default=0.0, help="of the text's pass")
    parser.add_argument(
        "--pronouns", type=float, default=0.14, help="the share of a step's tokens that are pronoun sentences"
    )
    parser.add_argument("--documents", type=int, default=400_000, help="how many to write before training")
    parser.add_argument(
        "--everyday", type=Path, help="fra-eng.zip, or a file with a sentence a line: what it does not know"
    )
    parser.add_argument(
        "--meaning", type=Path, help="what python -m recipes.guide_meaning wrote, to learn from beside"
    )
    parser.add_argument(
        "--meant", type=int, default=1400, help="tokens a step of questions to tell the meaning of"
    )
    parser.add_argument("--parts", type=int, default=1, help="parts of a step, for as many ranks of torchrun")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    target = args.publish or args.folder / "model"
    args.folder.mkdir(parents=True, exist_ok=True)
    tokenizer_path = args.folder / "tokenizer.json"
    if not tokenizer_path.exists():
        words = [*first_words(args.seed), *common_words()]
        train_tokenizer(words, args.vocab).save(str(tokenizer_path))
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    everyday = everyday_questions(everyday_sentences(args.everyday)) if args.everyday else []
    text = write(tokenizer_path, args.documents, args.seed, everyday)
    lines = sentences(args.documents // 5 + HELD_OUT, args.seed)
    source = lessons(tokenizer, text, lines[HELD_OUT:], args.tokens, args.seed, args.pronouns)
    never_seen = encode(tokenizer, documents(HELD_OUT, f"{args.seed} held out", everyday))
    held_out = lessons(tokenizer, never_seen, lines[:HELD_OUT], 8000, 0, args.pronouns)
    batches = [lesson for step in range(2) for lesson in held_out.parts(step, 1)]
    fields = SHAPE | {"vocab_size": tokenizer.get_vocab_size()}
    family, config = read_config(fields)
    model = family.build(config)
    assert isinstance(model, Decoder)
    initialise(model, seed=args.seed)
    if args.start:
        weights = load_model(args.start, dtype="float32", device="cpu").state_dict()
        theirs = Tokenizer.from_file(str(hub.find(args.start).path / "tokenizer.json"))
        carry_over(model, weights, tokenizer, theirs)
    model.to(resolve_device("auto"))
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(source.text.ids):,} tokens of text"
    )

    def save(step: int) -> None:
        publish(target, model, family, fields, dtype=torch.float16)  # half the bytes, and the same answers
        save_text(target, tokenizer)

    plan = TrainConfig(
        steps=args.steps,
        lr=args.lr,
        schedule=plateau(args.steps, warmup=50, decay=args.decay),
        average=args.average,
        parts=args.parts,
        save_every=50,
        evaluate_every=250,
        autocast=half_precision(resolve_device("auto")),
        seed=args.seed,
    )
    task = TextAndPronouns(model, args.dropout)
    if args.meaning:
        meanings = read_meanings(args.meaning, tokenizer, args.meant, args.seed)
        student = Student(model, meanings.vectors_NE.shape[1]).to(resolve_device("auto"))
        both = LessonsAndMeanings(source, meanings, meanings.of_tokens(args.meant * BAGS))
        measured = [Understood(lesson) for lesson in batches]
        train(student, both, AndMeaning(task), plan, args.folder, held_out=measured, on_evaluation=save)
    else:
        train(model, source, task, plan, args.folder, held_out=batches, on_evaluation=save)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
