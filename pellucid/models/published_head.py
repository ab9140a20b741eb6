"""Reads from a published config what its head is for and what its outputs are called."""

from typing import Literal

from pellucid.errors import ConfigError
from pellucid.models.head_config import HeadConfig, Task, TransformConfig
from pellucid.models.published import PublishedConfig

# How the published class of a checkpoint ends, and what its head is for.
ENDINGS: dict[str, Task | None] = {
    "ForMaskedLM": "words",
    "ForPreTraining": "words",
    "ForSequenceClassification": "sequence",
    "ForTokenClassification": "tokens",
    "ForImageClassification": "picture",
    "ForImageClassificationWithTeacher": "picture",
    "Model": None,
}
SCORES: dict[str, Literal["softmax", "sigmoid", "none"]] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "none",
}


def read_task(published: PublishedConfig) -> Task | None:
    """What `architectures` says the head is for; None is a bare encoder, as is a config that does not say."""
    names = published.get("architectures", list, [])
    if not names:
        return None
    for ending, task in ENDINGS.items():
        if str(names[0]).endswith(ending):
            return task
    raise ConfigError(
        f"{published.where}: `architectures` is {names!r}; heads that Pellucid has are those of classes that "
        f"end in {', '.join(ENDINGS)}"
    )


def read_labels(published: PublishedConfig) -> tuple[str, ...]:
    """The name of each output: `id2label`, or as many numbered ones as `num_labels` says (2 without it)."""
    names = published.get("id2label", dict, {})
    if not names:
        return tuple(f"LABEL_{i}" for i in range(published.size("num_labels", 2)))
    try:
        by_id = {int(number): str(name) for number, name in names.items()}
    except ValueError as error:
        raise ConfigError(f"{published.where}: `id2label` has a key that is no number ({error})") from error
    if sorted(by_id) != list(range(len(by_id))):
        raise ConfigError(f"{published.where}: `id2label` must name the labels 0 to {len(by_id) - 1}")
    return tuple(by_id[i] for i in range(len(by_id)))


def read_scores(published: PublishedConfig, num_labels: int) -> Literal["softmax", "sigmoid", "none"]:
    """How outputs become scores, by `problem_type`; where it is missing a lone output is scored by itself."""
    problem = published.optional("problem_type", str)
    if problem is None:
        return "sigmoid" if num_labels == 1 else "softmax"
    if problem not in SCORES:
        raise ConfigError(
            f"{published.where}: `problem_type` is {problem!r}; it must be one of {', '.join(SCORES)}"
        )
    return SCORES[problem]


def read_head(
    published: PublishedConfig,
    *,
    words: TransformConfig,
    sequence: TransformConfig | None,
    tokens: TransformConfig | None = None,
    pool: str = "first",
    words_bias: bool = True,
) -> HeadConfig | None:
    """The head that `architectures` names. What stands before the last product of each kind of head, and how
    a sequence becomes one vector, are the family's to say."""
    task = read_task(published)
    tied = published.get("tie_word_embeddings", bool, True)
    if task is None:
        return None
    if task == "words":
        size = published.size("vocab_size")
        return HeadConfig(
            task=task, pool="each", transform=words, outputs=size, out_bias=words_bias, tied=tied
        )
    labels = read_labels(published)
    return HeadConfig(
        task=task,
        pool=pool if task == "sequence" else "each",
        transform=sequence if task == "sequence" else tokens,
        outputs=len(labels),
        labels=labels,
        scores=read_scores(published, len(labels)),
    )
