"""Examines the guide model: questions in words that training never had, and sentences with pronouns.

    python -m recipes.guide_exam pellucid/guide

The files say what each answer must contain. `guide_exam.txt` was looked at while the text was made,
`guide_exam_final.txt` is by the same author; `guide_exam_unseen.txt` was written by another author, and
looked at while later text was made; `guide_exam_fourth.txt` by one who had read nothing of it, after that.
The fifth to the ninth are by five who knew the names of the guide's topics and nothing else; what failed in
three of them was read while later text was made, the eighth and the ninth were asked once, of the finished
model. A rubric of words can be fooled, so the answers are printed to be read.
"""

import random
import re
import sys
from pathlib import Path

from pellucid import LLM, SamplingParams
from recipes.guide_sentences import pronoun

PRONOUN_SENTENCES = 500


FILES = (
    "guide_exam.txt",
    "guide_exam_final.txt",
    "guide_exam_unseen.txt",
    "guide_exam_fourth.txt",
    "guide_exam_fifth.txt",
    "guide_exam_sixth.txt",
    "guide_exam_seventh.txt",
    "guide_exam_eighth.txt",
    "guide_exam_ninth.txt",
)


def questions(file: str) -> list[tuple[str, list[str]]]:
    """The questions of an examination and what their answers must say."""
    lines = Path(__file__).with_name(file).read_text().splitlines()
    pairs = [line.split(" :: ") for line in lines if " :: " in line and not line.startswith("#")]
    return [(question, [group.strip() for group in groups.split(" ; ")]) for question, groups in pairs]


def says(answer: str, group: str) -> bool:
    """Whether one of the group's words or phrases is in the answer."""
    for phrase in group.lower().split():
        word = re.escape(phrase.rstrip("*").replace("_", " "))
        if re.search(rf"\b{word}" + ("" if phrase.endswith("*") else r"\b"), answer.lower()):
            return True
    return False


def passes(answer: str, groups: list[str]) -> bool:
    """Whether an answer says what it must and not what it must not."""
    return all(says(answer, g.removeprefix("!")) != g.startswith("!") for g in groups)


def answers(llm: LLM, asked: list[str]) -> list[str]:
    """The model's answer to each question, asked alone."""
    conversations = [[{"role": "user", "content": question}] for question in asked]
    params = SamplingParams(temperature=0.0, max_tokens=96)
    return [output.outputs[0].text for output in llm.chat(conversations, params, use_tqdm=False)]


def pronoun_score(llm: LLM) -> float:
    """The share of "Who was tired?" answered rightly, on pairs of nouns training never had together."""
    rng = random.Random(1)
    drawn = [pronoun(rng, test=True) for _ in range(PRONOUN_SENTENCES)]
    found = answers(llm, [f"{sentence.text} Who {sentence.reason}?" for sentence in drawn])
    right = sum(text == f"The {sentence.right}." for text, sentence in zip(found, drawn, strict=True))
    return right / len(drawn)


def examine(llm: LLM, file: str) -> int:
    """Print every answer of an examination; how many are right by its rubric."""
    exam = questions(file)
    found = answers(llm, [question for question, _ in exam])
    right = 0
    for (question, groups), answer in zip(exam, found, strict=True):
        passed = passes(answer, groups)
        right += passed
        print(f"{'right' if passed else 'WRONG'}  {question}\n       {answer}")
    return right


def main() -> None:
    llm = LLM(sys.argv[1])
    for file in sys.argv[2:] or FILES:
        print(f"{examine(llm, file)} right of {len(questions(file))} by the rubric of {file}\n")
    print(f"{pronoun_score(llm):.1%} of {PRONOUN_SENTENCES} pronouns")


if __name__ == "__main__":
    main()
