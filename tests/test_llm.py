"""LLM: prompts in, text out; streams, chats, many at once, traces; what cannot be done is said."""

import dataclasses
import logging

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from small_checkpoint import write_checkpoint

from pellucid import LLM, BeamSearchParams, RequestError, SamplingParams, TokenizerError
from pellucid.errors import ConfigError, OutOfMemoryError

GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
PROMPTS = ["The cat sat on", "What is AI?", "attention tells each token", "世界 🙂"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def llm(folder):
    return LLM(folder, device="cpu")


def greedy_of_transformers(folder, ids: list[int], count: int) -> list[int]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    out = model.generate(
        torch.tensor([ids]), max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0
    )
    return out[0, len(ids) :].tolist()


def test_greedy_generation_equals_transformers(llm, folder) -> None:
    for output in llm.generate(PROMPTS, GREEDY):
        sample = output.outputs[0]
        assert sample.token_ids == greedy_of_transformers(folder, output.prompt_token_ids, 24)
        assert sample.finish_reason == "length"
        assert sample.text == llm.tokenizer.decode(sample.token_ids)


def test_one_prompt_or_many_text_or_ids_come_out_the_same(llm) -> None:
    (alone,) = llm.generate(PROMPTS[0], GREEDY)
    together = llm.generate(PROMPTS, GREEDY)[0]
    ids = llm.tokenizer.encode(PROMPTS[0])
    (from_ids,) = llm.generate({"prompt_token_ids": ids}, GREEDY)
    (from_list,) = llm.generate([{"prompt_token_ids": ids}], GREEDY)
    assert alone.outputs[0].token_ids == together.outputs[0].token_ids
    assert alone.outputs[0].token_ids == from_ids.outputs[0].token_ids == from_list.outputs[0].token_ids
    assert from_ids.prompt is None and alone.prompt == PROMPTS[0]


@pytest.mark.parametrize("given", [{"temperature": 0}, 3, [SamplingParams(), None]])
def test_what_is_no_sampling_params_is_refused(llm, given) -> None:
    with pytest.raises(RequestError, match="give a SamplingParams, or a list"):
        llm.generate(["a", "b"], given)


@pytest.mark.parametrize(
    "name",
    ["max_model_len", "block_size", "num_gpu_blocks_override", "max_num_batched_tokens", "max_num_seqs"],
)
@pytest.mark.parametrize("value", [0, -1, "many", 1.5])
def test_sizes_of_the_engine_are_whole_numbers_from_1(folder, name, value) -> None:
    with pytest.raises(RequestError, match=f"{name}={value!r} is not allowed"):
        LLM(folder, **{name: value})


@pytest.mark.parametrize("name", ["block_size", "max_num_seqs", "max_num_batched_tokens"])
def test_sizes_that_no_machine_has_use_for_are_refused(folder, name) -> None:
    with pytest.raises(
        RequestError, match=rf"{name}=1000000000 is not allowed: give a whole number from 1 to"
    ):
        LLM(folder, **{name: 10**9})
    with pytest.raises(OutOfMemoryError, match=r"num_blocks=1000000000 .* would fit"):
        LLM(folder, num_gpu_blocks_override=10**9, device="cpu")


def test_max_model_len_goes_no_further_than_the_model(folder, llm) -> None:
    longest = llm.config.max_position_embeddings
    with pytest.raises(RequestError, match=f"give at most {longest}"):
        LLM(folder, device="cpu", max_model_len=longest + 1)
    assert LLM(folder, device="cpu", max_model_len=longest).engine.max_model_len == longest


def test_each_prompt_may_have_its_own_parameters(llm) -> None:
    params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in (1, 2, 3, 4)]
    outputs = llm.generate(PROMPTS, params)
    assert [len(o.outputs[0].token_ids) for o in outputs] == [1, 2, 3, 4]
    with pytest.raises(RequestError, match="4 prompts and 2 SamplingParams"):
        llm.generate(PROMPTS, params[:2])


def test_more_prompts_than_a_servers_queue_holds(llm) -> None:
    outputs = llm.generate([[7]] * 4200, SamplingParams(temperature=0, max_tokens=1), use_tqdm=False)
    assert len({tuple(output.outputs[0].token_ids) for output in outputs}) == 1 and len(outputs) == 4200


def test_streamed_pieces_are_the_generated_text(llm) -> None:
    pieces = list(llm.stream(PROMPTS[0], GREEDY))
    (whole,) = llm.generate(PROMPTS[0], GREEDY)
    assert "".join(p.text for p in pieces) == whole.outputs[0].text
    assert [t for p in pieces for t in p.token_ids] == whole.outputs[0].token_ids
    assert [p.finish_reason for p in pieces][-1] == "length"
    assert all("�" not in p.text for p in pieces[:-1]) or "�" in whole.outputs[0].text


def test_two_streams_share_the_engine(llm) -> None:
    first, second = llm.stream(PROMPTS[0], GREEDY), llm.stream(PROMPTS[1], GREEDY)
    texts = ["", ""]
    for a, b in zip(first, second, strict=True):
        texts[0] += a.text
        texts[1] += b.text
    assert texts == [o.outputs[0].text for o in llm.generate(PROMPTS[:2], GREEDY)]


def test_a_closed_stream_leaves_nothing_behind(llm) -> None:
    stream = llm.stream(PROMPTS[0], GREEDY)
    next(stream)
    stream.close()
    assert not llm.engine.has_work
    assert llm.engine.scheduler.pool.num_in_use == 0


def test_a_stream_that_is_dropped_unread_leaves_nothing_behind(llm) -> None:
    stream = llm.stream(PROMPTS[0], GREEDY)
    assert llm.engine.has_work
    del stream
    assert not llm.engine.has_work


def test_a_stream_that_is_dropped_within_a_step_ends_after_it(llm, monkeypatch) -> None:
    dropped, run = [llm.stream(PROMPTS[0], GREEDY)], llm.engine.runner.run

    def drop_and_run(*step):
        dropped.clear()  # as the garbage collector may, at any moment
        return run(*step)

    monkeypatch.setattr(llm.engine.runner, "run", drop_and_run)
    (output,) = llm.generate(PROMPTS[1], GREEDY)
    assert output.outputs[0].finish_reason == "length" and not llm.engine.has_work


def test_the_same_seed_draws_the_same_text_in_any_company(llm) -> None:
    params = SamplingParams(temperature=1.0, seed=7, max_tokens=16, ignore_eos=True)
    (alone,) = llm.generate(PROMPTS[0], params)
    others = [SamplingParams(temperature=0.8, max_tokens=16, ignore_eos=True)] * 3
    together = llm.generate(PROMPTS, [params, *others])[0]
    assert alone.outputs[0].token_ids == together.outputs[0].token_ids


def test_a_stop_string_ends_the_text_before_it(llm) -> None:
    (whole,) = llm.generate(PROMPTS[0], GREEDY)
    text = whole.outputs[0].text
    stop = text[5:8]
    (cut,) = llm.generate(
        PROMPTS[0], SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, stop=stop)
    )
    sample = cut.outputs[0]
    assert sample.text == text[: text.index(stop)]
    assert (sample.finish_reason, sample.stop_reason) == ("stop", stop)
    streamed = llm.stream(
        PROMPTS[0], SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, stop=stop)
    )
    assert "".join(p.text for p in streamed) == sample.text


def test_a_bad_words_tokens_do_not_come(llm) -> None:
    encode, decode = llm.tokenizer.encode, llm.tokenizer.decode
    (free,) = llm.generate(PROMPTS[0], GREEDY)
    ids = {i for i in free.outputs[0].token_ids if encode(decode([i]), add_special_tokens=False) == [i]}
    assert ids, "the text has words of one token"
    params = dataclasses.replace(GREEDY, bad_words=[decode([i]) for i in ids])
    (without,) = llm.generate(PROMPTS[0], params)
    assert not ids & set(without.outputs[0].token_ids)


def test_the_models_own_end_ends_it(llm) -> None:
    (whole,) = llm.generate(PROMPTS[0], GREEDY)
    third = whole.outputs[0].token_ids[2]
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, stop_token_ids=[third])
    sample = llm.generate(PROMPTS[0], params)[0].outputs[0]
    assert sample.finish_reason == "stop" and sample.stop_reason == third
    assert sample.token_ids == whole.outputs[0].token_ids[: sample.token_ids.index(third) + 1]


def test_logprobs_are_the_models_own(llm) -> None:
    params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True, logprobs=3, prompt_logprobs=1)
    (output,) = llm.generate(PROMPTS[0], params)
    sample = output.outputs[0]
    ids = output.prompt_token_ids + sample.token_ids
    expected_TV = llm.model.logits(ids).log_softmax(-1)
    for i, (token, found) in enumerate(zip(sample.token_ids, sample.logprobs, strict=True)):
        row_V = expected_TV[len(output.prompt_token_ids) - 1 + i]
        assert found[token].logprob == pytest.approx(float(row_V[token]), abs=1e-4)
        assert found[token].rank == 1 and len(found) == 3
        assert found[token].decoded_token == llm.text_of(token)
    assert sample.cumulative_logprob == pytest.approx(
        sum(f[t].logprob for t, f in zip(sample.token_ids, sample.logprobs, strict=True))
    )
    assert output.prompt_logprobs[0] is None
    assert output.prompt_logprobs[1][ids[1]].logprob == pytest.approx(float(expected_TV[0, ids[1]]), abs=1e-4)


def test_several_samples_of_one_prompt(llm) -> None:
    params = SamplingParams(n=3, temperature=1.0, seed=3, max_tokens=12, ignore_eos=True)
    outputs = llm.generate(PROMPTS[0], params)[0].outputs
    assert [o.index for o in outputs] == [0, 1, 2]
    assert len({tuple(o.token_ids) for o in outputs}) == 3
    assert all(o.text == llm.tokenizer.decode(o.token_ids) for o in outputs)


def test_chat_applies_the_template_and_reuses_earlier_turns(llm) -> None:
    turns = [{"role": "user", "content": "What is AI? " * 8}]
    (first,) = llm.chat(turns, GREEDY)
    assert first.prompt == f"<|user|>{turns[0]['content']}<|end|><|assistant|>"
    turns += [{"role": "assistant", "content": first.outputs[0].text}, {"role": "user", "content": "And?"}]
    (second,) = llm.chat(turns, GREEDY)
    assert second.num_cached_tokens >= len(first.prompt_token_ids) // 16 * 16 > 0
    fresh = llm.stream_chat(turns, GREEDY)
    assert "".join(p.text for p in fresh) == second.outputs[0].text
    many = llm.chat([turns[:1], turns], GREEDY)
    assert [o.outputs[0].text for o in many] == [first.outputs[0].text, second.outputs[0].text]


@pytest.mark.parametrize(
    "messages", [None, [], "hello", [[]], [3], [["a"]], {"role": "user", "content": "a"}]
)
def test_what_is_no_conversation_is_refused(llm, messages) -> None:
    with pytest.raises(RequestError, match=r"the conversation .* cannot be read"):
        llm.chat(messages)


def test_calls_with_parameters_of_another_kind_leave_nothing_behind(llm) -> None:
    with pytest.raises(RequestError, match="give BeamSearchParams"):
        llm.beam_search("The cat", GREEDY)
    with pytest.raises(RequestError, match="give a SamplingParams"):
        llm.stream("The cat", BeamSearchParams(beam_width=2, max_tokens=4))
    with pytest.raises(RequestError, match="max_tokens=-1"):
        llm.trace("The cat", max_tokens=-1)
    with pytest.raises(RequestError, match="a trace is of one sample"):
        llm.trace("The cat", sampling_params=SamplingParams(n=2))
    assert not llm.engine.has_work


@pytest.mark.parametrize("message", [{}, {"content": "hi"}, {"role": None, "content": "hi"}])
def test_a_message_without_a_role_is_refused(llm, message) -> None:
    with pytest.raises(RequestError, match="message 1 of the conversation has no role"):
        llm.chat([{"role": "user", "content": "hi"}, message])


def test_without_a_template_chat_says_what_to_do(tmp_path) -> None:
    llm = LLM(write_checkpoint(tmp_path, template=None), device="cpu")
    with pytest.raises(TokenizerError, match="no chat template; use generate"):
        llm.chat([{"role": "user", "content": "hi"}])


def test_without_the_cache_the_same_tokens_cost_more(folder, llm) -> None:
    slow = LLM(folder, device="cpu", use_cache=False, max_num_seqs=4)
    expected = [o.outputs[0].token_ids for o in llm.generate(PROMPTS, GREEDY)]
    assert [o.outputs[0].token_ids for o in slow.generate(PROMPTS, GREEDY)] == expected
    run = sum(work.tokens for step in slow.engine.steps for work in step.work)
    lengths = [len(llm.tokenizer.encode(prompt)) for prompt in PROMPTS]
    assert run == sum(n + i for n in lengths for i in range(24))


def test_a_trace_is_of_the_run_that_made_the_text(llm) -> None:
    (output,) = llm.generate(PROMPTS[0], SamplingParams(temperature=0, max_tokens=6, ignore_eos=True))
    params = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True)
    trace = llm.trace(PROMPTS[0], sampling_params=params)
    assert trace.token_ids == output.prompt_token_ids + output.outputs[0].token_ids
    assert len(trace) == len(trace.token_ids) - 1
    expected_TV = llm.model.logits(trace.token_ids[:-1])
    torch.testing.assert_close(trace.logits(), expected_TV, atol=1e-4, rtol=0)
    assert [step[0].token_id for step in trace.steps()] == output.outputs[0].token_ids
    assert all(trace.attention_error(layer) < 1e-5 for layer in range(trace.num_layers))


def test_a_trace_of_a_prompt_alone_ran_the_prompt_alone(llm) -> None:
    trace = llm.trace(PROMPTS[0])
    assert trace.token_ids == llm.tokenizer.encode(PROMPTS[0])
    assert trace.attention(1, 3).shape == (len(trace),) * 2 == (len(trace.token_ids),) * 2


def test_a_traced_prompt_in_chunks_is_whole(folder) -> None:
    llm = LLM(folder, device="cpu", max_num_batched_tokens=5, max_num_seqs=4)
    llm.generate("The cat sat on the mat because it was tired.", GREEDY)
    trace = llm.trace("The cat sat on the mat because it was tired.", max_tokens=4)
    expected_TV = llm.model.logits(trace.token_ids[:-1])
    torch.testing.assert_close(trace.logits(), expected_TV, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kept", ["int8", "bfloat16"])
def test_a_trace_shows_the_keys_and_values_that_the_cache_kept(folder, llm, kept) -> None:
    other = LLM(folder, device="cpu", kv_cache_dtype=kept)
    assert other.engine.kv_bytes_per_token < 0.6 * llm.engine.kv_bytes_per_token
    trace, exact = (model.trace(PROMPTS[0], max_tokens=6) for model in (other, llm))
    assert all(trace.attention_error(layer) < 1e-5 for layer in range(trace.num_layers))
    off = trace["blocks.0.attn.k"] - exact["blocks.0.attn.k"][: len(trace)]
    assert 0 < off[:3].abs().max() < 0.01 * exact["blocks.0.attn.k"].abs().max()


@pytest.mark.parametrize("name", ["fp8", "int4", "itn8", "", None, 8, torch.int16])
def test_what_a_cache_cannot_keep_is_refused_before_anything_loads(name) -> None:
    with pytest.raises(ConfigError, match=r"kv_cache_dtype .*allowed are auto, float32, .*int8"):
        LLM("no/such/model", kv_cache_dtype=name)


@pytest.mark.parametrize("prompt", ["", [], {"prompt_token_ids": [99999]}, "x" * 4000])
def test_a_prompt_that_cannot_be_served_stops_nothing_else(llm, prompt) -> None:
    with pytest.raises(RequestError):
        llm.generate(["The cat", prompt], GREEDY)
    assert not llm.engine.has_work
    assert llm.generate("The cat", GREEDY)[0].finished


def test_parameters_that_cannot_be_served_stop_nothing_else(llm) -> None:
    params = [GREEDY, SamplingParams(n=1000, temperature=1.0)]
    with pytest.raises(RequestError, match="1000 samples"):
        llm.generate(PROMPTS[:2], params)
    assert not llm.engine.has_work


def test_bad_words_are_not_said(llm) -> None:
    (whole,) = llm.generate(PROMPTS[0], GREEDY)
    word = llm.text_of(whole.outputs[0].token_ids[0])
    params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, bad_words=[word])
    assert whole.outputs[0].token_ids[0] not in llm.generate(PROMPTS[0], params)[0].outputs[0].token_ids


def test_beam_search_finds_what_transformers_finds(llm, folder) -> None:
    params = BeamSearchParams(beam_width=3, max_tokens=10)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    for prompt, output in zip(PROMPTS[:2], llm.beam_search(PROMPTS[:2], params), strict=True):
        ids = llm.tokenizer.encode(prompt)
        expected = model.generate(
            torch.tensor([ids]), max_new_tokens=10, num_beams=3, do_sample=False, pad_token_id=0,
            num_return_sequences=3, output_scores=True, return_dict_in_generate=True,
        )  # fmt: skip
        best = output.sequences[0]
        assert best.tokens == expected.sequences[0].tolist()[: len(best.tokens)]
        assert best.text == llm.tokenizer.decode(best.tokens[len(ids) :])
        scores = [sequence.score for sequence in output.sequences]
        assert scores == pytest.approx(expected.sequences_scores.tolist(), abs=1e-4)


def test_generation_config_is_honoured_and_said(tmp_path, caplog) -> None:
    write_checkpoint(tmp_path)
    said = '{"do_sample": true, "temperature": 0.5, "top_k": 5, "eos_token_id": [1, 7], "max_new_tokens": 3}'
    (tmp_path / "generation_config.json").write_text(said)
    with caplog.at_level(logging.INFO, logger="pellucid"):
        llm = LLM(tmp_path, device="cpu")
    assert "drawn by chance (temperature 0.5, top_k 5)" in caplog.text
    assert llm.default_sampling_params().max_tokens == 3
    assert llm.engine.eos_token_ids == (1, 7)


def test_an_unknown_keyword_is_an_error(folder) -> None:
    with pytest.raises(TypeError, match="max_lenght"):
        LLM(folder, max_lenght=3)


@pytest.mark.parametrize(
    "config", [{"method": "ngram"}, {"model": "itself", "num_speculative_tokens": 3}], ids=str
)
def test_drafts_change_no_text(llm, folder, config) -> None:
    if "model" in config:
        config = {**config, "model": str(folder)}
    sampled = SamplingParams(temperature=1.0, seed=5, max_tokens=24, ignore_eos=True)
    for params in (GREEDY, sampled):
        guessing = LLM(folder, device="cpu", speculative_config=config)
        texts = [output.outputs[0].text for output in guessing.generate(PROMPTS, params)]
        assert texts == [output.outputs[0].text for output in llm.generate(PROMPTS, params)]
        assert guessing.engine.totals.drafted_tokens > 0


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory):
    """A checkpoint whose sums are too large for float32, though each of its weights is not."""
    folder = write_checkpoint(tmp_path_factory.mktemp("overflowing"))
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        if "up_proj" in name or "down_proj" in name:
            weights[name] *= 1e30
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return LLM(folder, device="cpu")


def test_logits_that_are_no_numbers_end_in_an_error_that_is_said(overflowing, caplog) -> None:
    (output,) = overflowing.generate("The cat", GREEDY)
    assert output.outputs[0].finish_reason == "error" and "nan or infinite" in output.outputs[0].error
    assert any("nan or infinite" in record.getMessage() for record in caplog.records)
    assert not overflowing.engine.has_work


def test_a_search_among_logits_that_are_no_numbers_ends(overflowing) -> None:
    (found,) = overflowing.beam_search("The cat", BeamSearchParams(beam_width=2, max_tokens=4))
    assert not found.sequences and "nan or infinite" in found.error
    assert not overflowing.engine.has_work


def test_what_is_no_number_can_be_looked_at(overflowing, capsys) -> None:
    overflowing.trace("The cat", max_tokens=2).show()
    assert "??" in capsys.readouterr().out
