"""Trains the bundled model `pellucid/sentiment`: a small encoder that tells praise from blame of films.

    pellucid train sentiment sentence_polarity.zip --more subjectivity.zip

The sentences (Pang & Lee 2005; CC BY 4.0) are nltk's:
https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/sentence_polarity.zip
and beside it subjectivity.zip, whose 10,000 sentences have no such labels and help all the same.

Letters: N sentences, V words or labels, D hidden.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from pellucid import LLM
from pellucid.device import resolve_device
from pellucid.kernels import torch_ops
from pellucid.models.encoder import Encoder
from pellucid.models.publishing import publish, publish_text
from pellucid.models.registry import read_config
from pellucid.training import OneClass, TrainConfig, initialise, train
from recipes.recipe_arguments import positive, recipe_parser
from recipes.sentiment_data import (
    CLS,
    CONTEXT,
    PAD,
    SEP,
    SPECIAL,
    Sentences,
    encode,
    neighbours,
    read_polarity,
    sentences_of,
    word_pieces,
)

CARD = """---
license: apache-2.0
language: en
---
# pellucid/sentiment

A small encoder ({parameters:,} parameters, the ModernBERT architecture: 1 layer, 4 heads, width 96)
with its own lower-cased WordPiece vocabulary of {vocab:,}. It tells whether a sentence about a film
praises or blames it: `pellucid classify "a smart and alert little gem" -m pellucid/sentiment`.

**Scores** on {count:,} sentences that it never saw (`train_test_split(test_size=0.2, stratify=y,
random_state=0)`), beside models of counted words on the same split:

| | right |
|---|---|
| this encoder | {score} |
{others}
- **Data**: "sentence polarity dataset v1.0" by Bo Pang and Lillian Lee (2005), CC BY 4.0, by way of
  nltk: four fifths of its 10,662 sentences{more}.
- **Training**: `pellucid train sentiment`: {steps:,} steps of 64 sentences (AdamW, cosine from 2e-3,
  dropout 0.3, a fifth of the words hidden, weights averaged), a few minutes on one CPU core. Words
  begin where a factorisation of their neighbours' counts puts them. Half of each target is the label,
  half what two models of counted words (the tuned one and naive Bayes), trained on other sentences,
  think; of unlabelled sentences, that alone.
- **What it cannot do**: it knows the English of film reviews around 2000, one sentence at a time.
  Neutral sentences get a label all the same, irony misleads it, and on other subjects it was never
  measured.
"""
MORE = """; and, without labels, the 10,000 sentences of their
  "subjectivity dataset v1.0" (2004), CC BY 4.0, but those that it is measured on"""
LABELS = ("negative", "positive")
WIDE = 0.06
"""The deviation of weights at the beginning."""
FIELDS = {
    "architectures": ["ModernBertForSequenceClassification"],
    "model_type": "modernbert",
    "hidden_size": 96,
    "intermediate_size": 144,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "local_attention": 2 * CONTEXT,
    "global_attn_every_n_layers": 1,
    "global_rope_theta": 10000.0,
    "classifier_pooling": "mean",
    "norm_eps": 1e-5,
    "pad_token_id": PAD,
    "bos_token_id": CLS,
    "cls_token_id": CLS,
    "eos_token_id": SEP,
    "sep_token_id": SEP,
    "id2label": {str(i): label for i, label in enumerate(LABELS)},
    "label2id": {label: i for i, label in enumerate(LABELS)},
}


def simple_models() -> dict[str, Any]:
    """What a practitioner tries first: words, and pairs of them, counted."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    pairs: dict[str, Any] = {"ngram_range": (1, 2), "token_pattern": r"\S+"}
    tuned = TfidfVectorizer(min_df=2, sublinear_tf=True, **pairs)
    return {
        "tf-idf + logistic regression": make_pipeline(TfidfVectorizer(), LogisticRegression()),
        "the same, tuned": make_pipeline(tuned, LogisticRegression(C=10, max_iter=1000)),
        "naive Bayes": make_pipeline(CountVectorizer(binary=True, **pairs), MultinomialNB()),
    }


def taught(texts: list[str], labels: np.ndarray, more: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What simple models think of the texts (each of those it has not learned from) and of more texts, as
    probabilities `[N, 2]`: what an encoder may learn from beside the labels (Hinton et al. 2015)."""
    from sklearn.model_selection import cross_val_predict

    teachers = [simple_models()[name] for name in ("the same, tuned", "naive Bayes")]
    own = [cross_val_predict(each, texts, labels, cv=10, method="predict_proba") for each in teachers]
    others = [each.fit(texts, labels).predict_proba(more) for each in teachers if more]
    return np.mean(own, 0), np.mean(others, 0) if more else np.empty((0, len(LABELS)))


def build(vocab_size: int, vectors_VD: np.ndarray, seed: int) -> tuple[dict[str, Any], Encoder]:
    """The published fields, and an encoder whose words begin where their neighbours put them."""
    fields = FIELDS | {"vocab_size": vocab_size}
    family, config = read_config(fields)
    model = family.build(config)
    assert isinstance(model, Encoder)
    initialise(model, seed=seed, std=WIDE)
    with torch.no_grad():
        model.input.embed_tokens.weight.copy_(torch.from_numpy(vectors_VD * WIDE))
    return fields, model.to(resolve_device("auto"))


def save(folder: Path, model: Encoder, fields: dict[str, Any], tokenizer: Tokenizer) -> None:
    """The checkpoint, with its tokenizer."""
    family, _ = read_config(fields)
    publish(folder, model, family, fields)
    roles = {f"{name[1:-1].lower()}_token": name for name in SPECIAL}
    publish_text(folder, tokenizer, {"model_max_length": CONTEXT, **roles})


def main() -> None:
    from sklearn.model_selection import train_test_split

    parser = recipe_parser(__doc__)
    parser.add_argument("sentences", type=Path, help="sentence_polarity.zip")
    parser.add_argument("--more", type=Path, help="subjectivity.zip: more sentences, without labels")
    parser.add_argument("--folder", type=Path, default=Path("runs/sentiment"))
    parser.add_argument("--epochs", type=positive, default=4)
    parser.add_argument("--steps", type=positive, help="in place of --epochs")
    parser.add_argument("--vocab", type=positive, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--choose", action="store_true", help="measure on a fifth of the training part")
    args = parser.parse_args()
    texts, labels = read_polarity(args.sentences)
    for _ in range(1 + args.choose):
        parts = train_test_split(texts, labels, test_size=0.2, stratify=labels, random_state=0)
        texts, rest, labels, rest_labels = parts
    names = ("quote.tok.gt9.5000", "plot.tok.gt9.5000")
    known = set(rest)
    more = [line for part in sentences_of(args.more, names) for line in part] if args.more else []
    more = [line for line in more if line not in known]
    scores = {n: simple.fit(texts, labels).score(rest, rest_labels) for n, simple in simple_models().items()}
    for name, score in scores.items():
        print(f"{name}: {score:.2%} of {len(rest)} sentences")
    args.folder.mkdir(parents=True, exist_ok=True)
    kept = args.folder / "tokenizer.json"
    if not kept.exists():  # the trainer breaks ties another way each time, so a run keeps its own
        word_pieces(texts + more, args.vocab).save(str(kept))
    tokenizer = Tokenizer.from_file(str(kept))
    ids = encode(tokenizer, texts + more)
    own, others = taught(texts, labels, more)
    targets = np.concatenate([(np.eye(len(LABELS))[labels] + own) / 2, others])
    vectors_VD = neighbours(ids, tokenizer.get_vocab_size(), FIELDS["hidden_size"])
    fields, model = build(tokenizer.get_vocab_size(), vectors_VD, args.seed)
    source = Sentences(ids, targets, 64, 0.2, args.seed)
    steps = args.steps or args.epochs * source.steps_per_epoch
    size = sum(p.numel() for p in model.parameters())
    print(f"{size:,} parameters, {len(ids):,} sentences, {steps:,} steps")
    plan = TrainConfig(steps=steps, lr=2e-3, average=0.998, seed=args.seed)
    train(model, source, OneClass(torch_ops, dropout=0.3), plan, args.folder)
    save(args.folder / "model", model, fields, tokenizer)
    said = LLM(args.folder / "model").classify(rest)
    right = [o.outputs.label == LABELS[label] for o, label in zip(said, rest_labels, strict=True)]
    card = CARD.format(
        parameters=size,
        vocab=tokenizer.get_vocab_size(),
        count=len(rest),
        score=f"{np.mean(right):.2%}",
        others="".join(f"| {name} | {score:.2%} |\n" for name, score in scores.items()),
        more=MORE if more else "",
        steps=steps,
    )
    (args.folder / "model" / "README.md").write_text(card)
    print(f"the encoder: {np.mean(right):.2%}\nThe checkpoint is {args.folder / 'model'}")


if __name__ == "__main__":
    main()
