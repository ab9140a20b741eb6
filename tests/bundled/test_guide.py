"""The bundled model does what a newcomer sees first, and any tool opens it."""

import pytest
import torch

from pellucid import LLM, SamplingParams, load_model
from pellucid.models.hub import bundled_models

GREEDY = SamplingParams(temperature=0, max_tokens=128)


@pytest.fixture(scope="module")
def llm():
    return LLM("pellucid/guide")


def answer(llm, *turns):
    roles = ["user", "assistant"] * len(turns)
    messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=False)]
    (output,) = llm.chat(messages, GREEDY, use_tqdm=False)
    assert output.outputs[0].finish_reason == "stop"
    return output.outputs[0].text


def test_the_cat_sat_on_the_mat(llm):
    (output,) = llm.generate(["The cat"], GREEDY, use_tqdm=False)
    assert output.outputs[0].text == " sat on the mat."
    assert [llm.text_of(i) for i in output.outputs[0].token_ids[:4]] == [" sat", " on", " the", " mat"]
    assert output.outputs[0].finish_reason == "stop"


@pytest.mark.parametrize(
    "question, word",
    [
        ("What is AI?", "intelligence"),
        ("What is self-attention?", "token"),
        ("Why a KV cache?", "recompute"),
        ("what is a transformer", "attention"),
        ("who are you", "I am Guide"),
        ("Who made you?", "Pellucid"),
        ("the pieces a text is cut into", "token"),
        ("Quickly: whats the point of several heads", "different"),
    ],
)
def test_it_answers_about_its_subject(llm, question, word):
    assert word in answer(llm, question)


def test_a_question_without_the_template_is_answered_too(llm):
    (output,) = llm.generate(["What is AI?"], GREEDY, use_tqdm=False)
    assert " AI" in output.outputs[0].text
    assert output.outputs[0].finish_reason == "stop"


def test_it_says_when_it_does_not_know(llm):
    assert "do not know" in answer(llm, "What is the capital of France?")


def test_it_follows_a_conversation(llm):
    first = answer(llm, "What is AI?")
    assert answer(llm, "What is AI?", first, "Why?") != first


def test_it_is_small_and_has_its_card():
    folder = bundled_models()["pellucid/guide"]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 30 * 2**20
    assert "What it cannot do" in (folder / "README.md").read_text()


def test_transformers_opens_it(llm):
    transformers = pytest.importorskip("transformers")
    folder = bundled_models()["pellucid/guide"]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "What is AI?"}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    (output,) = llm.chat(messages, GREEDY, use_tqdm=False)
    assert ids == list(output.prompt_token_ids)
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(
        load_model("pellucid/guide", dtype="float32").logits(ids), expected, rtol=1e-4, atol=1e-4
    )
