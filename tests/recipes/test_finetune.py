"""`pellucid train finetune`: only answers count, a stopped run goes on where it was, what it leaves is served."""

import json
from shutil import copytree

import pytest

from pellucid import LLM, LoRARequest, SamplingParams
from pellucid.cli import recipes
from pellucid.errors import SourceError
from pellucid.models.checkpoint import open_checkpoint
from pellucid.training import record
from recipes.finetune_data import encode, read_examples

PAIRS = [
    {"prompt": "What is AI?", "answer": "Blue."},
    {"instruction": "Say it.", "input": "What is AI?", "output": "Green."},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Red."}]},
    {"text": "A text of its own."},
]
GREEDY = SamplingParams(temperature=0, max_tokens=8)


@pytest.fixture
def pairs(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    return file


def run(folder, file, *more):
    recipes.run_recipe(
        "finetune", ["--model", "pellucid/guide", "--data", str(file), "--folder", str(folder), *more]
    )


def ask(llm, **more):
    question = [{"role": "user", "content": "What is AI?"}]
    return llm.chat([question], GREEDY, use_tqdm=False, **more)[0].outputs[0].text


def test_what_is_given_is_what_a_chat_would_be_given_and_the_rest_is_learned(pairs):
    tokenizer = open_checkpoint("pellucid/guide").tokenizer()
    documents = encode(read_examples(pairs, tokenizer), tokenizer, 64, tokenizer.eos_token_id)
    read = []
    for ids, weights in documents:
        given = [int(i) for i, weight in zip(ids, weights, strict=True) if not weight]
        learned = [int(i) for i, weight in zip(ids, weights, strict=True) if weight]
        read.append(tuple(tokenizer.decode(part, skip_special_tokens=False) for part in (given, learned)))
    assert read[0] == ("<|begin|><|user|>What is AI?<|end|><|assistant|>", "Blue.<|end|>")
    assert read[1] == ("<|begin|><|user|>Say it.\nWhat is AI?<|end|><|assistant|>", "Green.<|end|>")
    assert read[2] == ("<|begin|><|user|>Hi<|end|><|assistant|>", "Red.<|end|>")
    assert read[3] == ("", "<|begin|>A text of its own." + tokenizer.token(tokenizer.eos_token_id))


def test_without_a_template_the_answer_follows_the_prompt_as_it_is(pairs, tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    source = open_checkpoint("pellucid/guide").source.path
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    settings = json.loads((source / "tokenizer_config.json").read_text())
    del settings["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = open_checkpoint(folder).tokenizer()
    pairs.write_text('{"prompt": "One and", "completion": " two"}\n')
    ((ids, weights),) = encode(read_examples(pairs, tokenizer), tokenizer, 64, tokenizer.eos_token_id)
    assert tokenizer.decode(ids.tolist()) == "One and two"
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[weights > 0].tolist()) == " two"
    pairs.write_text('{"messages": [{"role": "assistant", "content": "x"}]}\n')
    with pytest.raises(SourceError, match="no chat template"):
        read_examples(pairs, tokenizer)


def test_a_template_that_opens_a_thought_teaches_the_end_of_the_answer_too(pairs, tmp_path):
    folder = tmp_path / "thinking"
    copytree(open_checkpoint("pellucid/guide").source.path, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    asking = "{{ '<|assistant|>' }}"
    assert asking in settings["chat_template"]
    settings["chat_template"] = settings["chat_template"].replace(asking, "{{ '<|assistant|><think>' }}")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = open_checkpoint(folder).tokenizer()
    pairs.write_text('{"prompt": "Hi", "answer": " Red."}\n')
    ((ids, weights),) = encode(read_examples(pairs, tokenizer), tokenizer, 64, tokenizer.eos_token_id)
    given, learned = (
        tokenizer.decode(ids[part].tolist(), skip_special_tokens=False)
        for part in (weights == 0, weights > 0)
    )
    assert (given, learned) == ("<|begin|><|user|>Hi<|end|><|assistant|><think>", "Red.<|end|>")


def test_an_adapter_learns_and_is_served_as_the_merged_model_is(pairs, tmp_path):
    pairs.write_text(json.dumps(PAIRS[0]) + "\n")
    run(
        tmp_path / "run",
        pairs,
        "--lora",
        "--merge",
        "--steps",
        "25",
        "--lr",
        "0.01",
        "--targets",
        "q_proj",
        "down_proj",
    )
    llm = LLM("pellucid/guide")
    lora = LoRARequest("blue", 1, tmp_path / "run" / "adapter")
    assert ask(llm, lora_request=lora) == "Blue." == ask(LLM(tmp_path / "run" / "merged"))
    assert ask(llm).startswith("AI")


def test_stopped_and_run_again_it_follows_the_same_curve(pairs, tmp_path, monkeypatch):
    settings = ("--lora", "--steps", "6", "--dropout", "0.1")
    run(tmp_path / "whole", pairs, *settings)

    written = record.Record.step

    def stop(self, step, *figures, **more):
        if step == 4:
            raise KeyboardInterrupt
        written(self, step, *figures, **more)

    with monkeypatch.context() as patched:
        patched.setattr(record.Record, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped", pairs, *settings)
    run(tmp_path / "stopped", pairs, *settings)
    curves = [[line["loss"] for line in record.read(tmp_path / name)] for name in ("whole", "stopped")]
    assert curves[0] == curves[1] and len(curves[0]) == 6
    weights = [
        (tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes()
        for name in ("whole", "stopped")
    ]
    assert weights[0] == weights[1]


def test_the_whole_model_is_trained_on_texts(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The cat sat on the roof. " * 20)
    run(tmp_path / "run", text, "--steps", "3", "--lr", "1e-3", "--context", "32")
    losses = [line["loss"] for line in record.read(tmp_path / "run") if "loss" in line]
    assert losses[-1] < losses[0]
    assert len(ask(LLM(tmp_path / "run" / "model"))) > 0


@pytest.mark.parametrize(
    "line, says",
    [
        ("{", "line 1 is no JSON"),
        ('{"prompt": "a"}', "is none of"),
        ("[1]", "is none of"),
        ('{"messages": ["hi"]}', "cannot be used"),
        ("\xe9".encode("latin-1"), "cannot be used"),
        ("", "is empty"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, line, says):
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(line if isinstance(line, bytes) else line.encode())
    with pytest.raises(SourceError, match=says):
        run(tmp_path / "run", file, "--lora")
    with pytest.raises(SourceError, match="no such file"):
        run(tmp_path / "run", tmp_path / "missing.jsonl")


def test_patience_without_anything_to_be_measured_on_is_refused(pairs, tmp_path):
    with pytest.raises(SourceError, match="has 4 examples, and of fewer than 40 none is left"):
        run(tmp_path / "run", pairs, "--lora", "--patience", "3")


def test_what_was_tuned_has_a_card_and_is_not_its_own_base(pairs, tmp_path):
    run(tmp_path / "run", pairs, "--lora", "--merge", "--steps", "1", "--rank", "2")
    assert "LoRA of rank 2, alpha 16, 1 steps" in (tmp_path / "run" / "adapter" / "README.md").read_text()
    card = (tmp_path / "run" / "merged" / "README.md").read_text()
    assert "base_model: pellucid/guide" in card and "merged" in card
    again = ["--model", str(tmp_path / "run" / "merged"), "--data", str(pairs), "--lora", "--merge"]
    with pytest.raises(SourceError, match="would be overwritten"):
        recipes.run_recipe("finetune", [*again, "--folder", str(tmp_path / "run")])
