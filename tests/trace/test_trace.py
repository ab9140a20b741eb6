"""A trace's maps equal the published implementation's, and the run's own kernel; nothing else changes."""

import pytest
import torch
import transformers

from pellucid.errors import RequestError
from pellucid.kernels import reference
from pellucid.layers.context import DenseContext
from pellucid.models.loading import load_model
from pellucid.trace.record import Record, TracingContext, Watched
from pellucid.trace.text import TextTrace

SHAPE = {"vocab_size": 128, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS = {
    "llama, grouped": lambda: transformers.LlamaConfig(**SHAPE, intermediate_size=64, num_key_value_heads=2, eos_token_id=0),
    "gpt-2": lambda: transformers.GPT2Config(vocab_size=128, n_embd=48, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0),
    "phi-3, window": lambda: transformers.Phi3Config(**SHAPE, intermediate_size=64, num_key_value_heads=1, sliding_window=5, pad_token_id=0, eos_token_id=0),
}  # fmt: skip


@pytest.fixture(params=list(CONFIGS))
def pair(request, tmp_path):
    """The published implementation and ours, same random weights."""
    torch.manual_seed(0)
    config = CONFIGS[request.param]()
    config._attn_implementation = "eager"
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    for parameter in theirs.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path)
    return theirs, load_model(tmp_path)


@torch.inference_mode()
def traced(model, ids: list[int]) -> TextTrace:
    record = Record()
    ctx = DenseContext([len(ids)], reference)
    model(torch.tensor(ids), TracingContext(ctx, [Watched(record, slice(0, len(ids)), 0)]))
    return TextTrace(model, record, ids, len(ids), numbers, print)


def numbers(ids) -> list[str]:
    return [str(i) for i in ids]


IDS = [5, 9, 2, 77, 31, 5, 9, 100, 4, 64, 3]


def test_attention_equals_output_attentions(pair) -> None:
    theirs, ours = pair
    with torch.no_grad():
        expected = theirs(torch.tensor([IDS]), output_attentions=True).attentions
    trace = traced(ours, IDS)
    for layer in range(trace.num_layers):
        for head in range(trace.num_heads):
            torch.testing.assert_close(
                trace.attention(layer, head), expected[layer][0, head], atol=1e-4, rtol=0
            )


def test_maps_give_what_the_kernel_gave(pair) -> None:
    trace = traced(pair[1], IDS)
    assert all(trace.attention_error(layer) < 1e-5 for layer in range(trace.num_layers))


def test_only_the_rows_asked_for_are_computed(pair) -> None:
    trace = traced(pair[1], IDS)
    torch.testing.assert_close(trace.attention(1, 2, rows=[3, 10]), trace.attention(1, 2)[[3, 10]])


def test_a_layers_maps_by_name(pair) -> None:
    trace = traced(pair[1], IDS)
    pattern_HTT = trace["blocks.1.attn.pattern"]
    assert pattern_HTT.shape == (trace.num_heads, len(IDS), len(IDS))
    torch.testing.assert_close(pattern_HTT[3], trace.attention(1, 3))


def test_logit_lens_ends_in_the_models_own_logits(pair) -> None:
    ours = pair[1]
    trace = traced(ours, IDS)
    torch.testing.assert_close(trace.logits(), ours.logits(IDS), atol=1e-4, rtol=0)
    torch.testing.assert_close(trace.logit_lens(rows=[4]).ids_LTN[:, 0], trace.logit_lens().ids_LTN[:, 4])
    lens = trace.logit_lens(top=3)
    assert len(trace.next_tokens(top=1000)[0]) == 128, "as many as there are"
    for ask in (trace.next_tokens, trace.logit_lens):
        with pytest.raises(RequestError, match="top is 0"):
            ask(top=0)
    assert lens.ids_LTN.shape == (2, len(IDS), 3)
    assert torch.equal(lens.ids_LTN[-1, :, 0], ours.logits(IDS).argmax(-1))


def test_hidden_states_equal_the_published_ones(pair) -> None:
    theirs, ours = pair
    with torch.no_grad():
        hidden = theirs(torch.tensor([IDS]), output_hidden_states=True).hidden_states
    trace = traced(ours, IDS)
    torch.testing.assert_close(trace["blocks.0.resid_post"], hidden[1][0], atol=1e-4, rtol=0)
    torch.testing.assert_close(trace["blocks.0.resid_post"], trace["blocks.1.resid_pre"])


def test_what_is_not_there_is_refused_by_name(pair) -> None:
    trace = traced(pair[1], IDS)
    with pytest.raises(RequestError, match="no layer 2; this trace has 0 to 1"):
        trace.attention(2, 0)
    with pytest.raises(RequestError, match="no head 4"):
        trace.attention(0, 4)
    with pytest.raises(RequestError, match="no row -1"):
        trace.attention(0, 0, rows=[-1])
    with pytest.raises(KeyError, match="was not tapped"):
        trace["blocks.0.attn.qq"]


def test_a_position_that_is_run_again_replaces_what_was_there() -> None:
    record = Record()
    record.write("x", 0, torch.arange(4.0))
    record.write("x", 4, torch.arange(4.0, 6.0))
    record.write("x", 2, torch.tensor([20.0, 30.0, 40.0]))
    assert record.read("x").tolist() == [0, 1, 20, 30, 40]
    record.write("x", 0, torch.tensor([7.0]))
    assert record.read("x").tolist() == [7]


def test_only_the_watched_rows_are_kept(pair) -> None:
    """Two requests share a batch; the trace of one holds its rows alone."""
    ours = pair[1]
    record, other = Record(), [8, 8, 8]
    ctx = DenseContext([3, len(IDS)], reference)
    with torch.inference_mode():
        ours(torch.tensor(other + IDS), TracingContext(ctx, [Watched(record, slice(3, 3 + len(IDS)), 0)]))
    alone = traced(ours, IDS)
    together = TextTrace(ours, record, IDS, len(IDS), numbers, print)
    torch.testing.assert_close(together.attention(1, 1), alone.attention(1, 1))
