"""The command line: every command does its work on a real checkpoint, and a mistake is one clear line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from adapter_folder import write_small_adapter
from safetensors.torch import load_file, save_file
from small_checkpoint import write_checkpoint

from pellucid import LLM, LoRARequest, SamplingParams


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def pellucid(*arguments, stdin: str = "", env=None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pellucid", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "100", "PYTHONPATH": os.pathsep.join(sys.path)} | (env or {})
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, timeout=120)


def test_run_streams_one_prompt_and_batches_many(folder) -> None:
    one = pellucid("run", "The cat", "-m", folder, "-n", 8)
    assert one.returncode == 0 and one.stdout.startswith("The cat")
    many = pellucid("run", "The cat", "What is", "-m", folder, "-n", 8)
    assert one.stdout.strip() in many.stdout


def test_run_reads_standard_input_and_files_and_prints_json(folder, tmp_path) -> None:
    piped = pellucid("run", "-m", folder, "-n", 4, "--json", "--logprobs", 2, stdin="The cat\n")
    (output,) = json.loads(piped.stdout)
    assert output["prompt"] == "The cat" and len(output["outputs"][0]["logprobs"]) == 4
    file = tmp_path / "prompts.txt"
    file.write_text("The cat\nWhat is\n")
    listed = json.loads(pellucid("run", "--file", file, "-m", folder, "-n", 4, "--json").stdout)
    assert [o["prompt"] for o in listed] == ["The cat", "What is"]
    assert listed[0]["outputs"][0]["token_ids"] == output["outputs"][0]["token_ids"]


def test_run_takes_a_lora_adapter(folder, tmp_path) -> None:
    adapter = write_small_adapter(tmp_path / "adapter", seed=1)
    said = pellucid("run", "The cat", "-m", folder, "-n", 8, "--temperature", 0, "--json", "--lora", adapter)
    llm, params = LLM(folder, device="cpu"), SamplingParams(temperature=0, max_tokens=8)
    asked = [LoRARequest("adapter", 1, adapter), None]
    adapted, plain = llm.generate(["The cat"] * 2, params, lora_request=asked, use_tqdm=False)
    (output,) = json.loads(said.stdout)
    assert output["outputs"][0]["token_ids"] == adapted.outputs[0].token_ids != plain.outputs[0].token_ids


def test_demo_tells_six_steps_with_this_runs_values(folder) -> None:
    done = pellucid("demo", folder, "What is AI?", 6)
    assert done.returncode == 0
    for number in range(1, 7):
        assert f"\n{number}. " in done.stdout
    assert "2 layers of 4 heads" in done.stdout and "tokens/s" in done.stdout


def test_demo_with_keys_and_values_in_8_bits_counts_them(folder) -> None:
    done = pellucid("demo", folder, "Who?", 4, "--kv-cache-dtype", "int8", "--device", "cpu", "--json")
    assert done.returncode == 0
    small, plain = (LLM(folder, device="cpu", kv_cache_dtype=kept).engine for kept in ("int8", "auto"))
    told = json.loads(done.stdout)["kv_bytes_per_token"]
    assert told == small.kv_bytes_per_token < 0.5 * plain.kv_bytes_per_token


def test_demo_as_json_says_the_same_to_machines(folder) -> None:
    report = json.loads(pellucid("demo", folder, "What is AI?", 6, "--json").stdout)
    assert len(report["output_token_ids"]) == 6 and report["finish_reason"] == "length"
    assert report["rows_with_cache"] == len(report["tokens"]) + 5
    assert len(report["steps"]) == 5 and all(len(step["candidates"]) == 4 for step in report["steps"])
    assert report["steps"][0]["candidates"][0][0] == report["steps"][0]["chosen"]


def test_chat_keeps_its_turns(folder) -> None:
    done = pellucid("chat", folder, "-n", 5, stdin="hello\nand you?\n")
    assert done.returncode == 0 and done.stdout.count("> ") == 3


def test_see_shows_attention_lens_and_steps(folder) -> None:
    done = pellucid("see", "The cat sat", "-m", folder, "-n", 3, "--layer", 0, "--head", 2)
    assert done.returncode == 0
    for title in ("attention of layer 0, head 2", "logit lens", "the likeliest of each step"):
        assert title in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "hi", "-m", "no/such/folder/here"], "no/such/folder/here"),
        (["run", "-m", "FOLDER"], "there is no prompt"),
        (["run", "hi", "-m", "FOLDER", "--temperature", "-1"], "temperature=-1"),
        (["run", "hi", "-m", "FOLDER", "--dtype", "float31"], "did you mean 'float32'"),
        (["run", "hi", "-m", "FOLDER", "--kv-cache-dtype", "int9"], "did you mean 'int8'"),
        (["run", "hi", "-m", "FOLDER", "--device", "tpu"], "this machine has"),
        (["run", "--file", "none.txt", "-m", "FOLDER"], "none.txt"),
        (["see", "a", "b", "-m", "FOLDER"], "one prompt at a time"),
        (["see", "a", "-m", "FOLDER", "--layer", "9"], "no layer 9"),
        (["run", "x" * 3000, "-m", "FOLDER"], "prompt and answer together may have"),
    ],
)
def test_a_mistake_is_one_clear_message(folder, arguments, says) -> None:
    done = pellucid(*[folder if a == "FOLDER" else a for a in arguments])
    assert done.returncode == 2
    assert says in done.stderr and "Traceback" not in done.stderr


def test_an_answer_that_fails_is_said_and_is_no_success(tmp_path) -> None:
    folder = write_checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"] *= 1e30
    weights["model.layers.0.mlp.down_proj.weight"] *= 1e30
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for prompts in (["The cat"], ["The cat", "What is"]):
        done = pellucid("run", *prompts, "-m", folder, "-n", 4)
        assert done.returncode == 2 and "nan or infinite" in done.stderr and "Traceback" not in done.stderr


def test_a_prompt_that_is_refused_prints_nothing_but_the_reason(folder) -> None:
    done = pellucid("run", b"half \xff".decode(errors="surrogateescape"), "-m", folder)
    assert done.returncode == 2 and done.stdout == "" and "lone surrogate" in done.stderr


def test_what_the_terminal_cannot_show_is_a_question_mark(folder) -> None:
    done = pellucid("see", "The cat", "-m", folder, "-n", 1, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and "?" in done.stdout


def test_closed_standard_input_is_no_prompt(folder) -> None:
    command = [sys.executable, "-m", "pellucid", "run", "-m", str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    done = subprocess.run(shell, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 2 and "there is no prompt" in done.stderr


def test_ctrl_c_ends_the_demo_cleanly_and_its_story_is_told(tmp_path) -> None:
    slow = write_checkpoint(tmp_path, endless=True, max_position_embeddings=400000)
    command = [sys.executable, "-m", "pellucid", "demo", str(slow), "What is AI?", "300000"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "120"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()  # the question
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert "it was interrupted" in rest and "Traceback" not in errors
    assert process.returncode == 0
