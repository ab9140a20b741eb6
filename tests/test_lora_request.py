"""LoRARequest: one for all prompts, one for each, in streams and chats; what cannot be served is said."""

import pytest
import transformers
from adapter_folder import write_adapter, write_small_adapter
from parity.encoder_decoder_cases import CASES as ENCODER_DECODERS
from parity.random_models import make as make_any
from parity.random_models import save
from small_checkpoint import write_checkpoint

from pellucid import LLM, LoRARequest, RequestError, SamplingParams, WeightsError

GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
TEXT = "The cat sat on the mat because it was tired."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def loras(tmp_path_factory):
    """Two adapters of the small checkpoint's value projections."""
    paths = [write_small_adapter(tmp_path_factory.mktemp(f"adapter{seed}"), seed) for seed in (1, 2)]
    return [LoRARequest(path.name, number, path) for number, path in enumerate(paths, 1)]


@pytest.fixture
def llm(folder):
    return LLM(folder, device="cpu", block_size=4)


def texts(outputs):
    return [output.outputs[0].text for output in outputs]


def test_one_for_all_or_one_or_none_for_each(llm, loras) -> None:
    one, two = loras
    plain = texts(llm.generate([TEXT, TEXT], GREEDY))
    first, second = (texts(llm.generate([TEXT, TEXT], GREEDY, lora_request=lora)) for lora in loras)
    assert plain[0] == plain[1] and first[0] == first[1] and second[0] == second[1]
    assert len({plain[0], first[0], second[0]}) == 3
    mixed = texts(llm.generate([TEXT] * 4, GREEDY, lora_request=[two, None, one, two]))
    assert mixed == [second[0], plain[0], first[0], second[0]]


def test_what_is_cached_of_one_adapter_is_no_others(llm, loras) -> None:
    llm.generate(TEXT, GREEDY)
    for lora in loras:
        hits = llm.engine.totals.hit_tokens
        (new,) = llm.generate(TEXT, GREEDY, lora_request=lora)
        assert llm.engine.totals.hit_tokens == hits
        (again,) = llm.generate(TEXT, GREEDY, lora_request=lora)
        assert llm.engine.totals.hit_tokens > hits
        assert new.outputs[0].token_ids == again.outputs[0].token_ids


def test_streams_and_chats_have_adapters_too(llm, loras) -> None:
    expected = texts(llm.generate([TEXT] * 2, GREEDY, lora_request=loras))
    streams = [llm.stream(TEXT, GREEDY, lora_request=lora) for lora in loras]
    assert ["".join(piece.text for piece in stream) for stream in streams] == expected
    turns = [{"role": "user", "content": TEXT}]
    answers = texts(llm.chat([turns] * 3, GREEDY, lora_request=[None, *loras]))
    assert len(set(answers)) == 3
    streams = [llm.stream_chat(turns, GREEDY, lora_request=lora) for lora in (None, *loras)]
    assert ["".join(piece.text for piece in stream) for stream in streams] == answers


def test_a_number_stands_for_one_adapter(llm, loras) -> None:
    one, two = loras
    llm.generate(TEXT, GREEDY, lora_request=one)
    with pytest.raises(RequestError, match="lora_int_id 1 stands for 'adapter1"):
        llm.generate(TEXT, GREEDY, lora_request=LoRARequest("other", 1, two.lora_path))


def test_mistakes_are_said_and_nothing_runs(llm, loras, tmp_path) -> None:
    one, _ = loras
    with pytest.raises(RequestError, match="2 prompts and 1 LoRARequests"):
        llm.generate([TEXT] * 2, GREEDY, lora_request=[one])
    with pytest.raises(RequestError, match=r"lora_request is 'adapter'; give LoRARequest"):
        llm.generate(TEXT, GREEDY, lora_request="adapter")
    with pytest.raises(RequestError, match="no folder here"):
        llm.generate(TEXT, GREEDY, lora_request=LoRARequest("none", 3, tmp_path / "none"))
    with pytest.raises(WeightsError, match="serves that model alone"):
        llm.stream(TEXT, GREEDY, lora_request=LoRARequest("another's", 4, write_adapter(tmp_path)))
    with pytest.raises(RequestError, match="at least 1"):
        LoRARequest("zero", 0, tmp_path)
    with pytest.raises(RequestError, match="needs a name"):
        LoRARequest("", 1, tmp_path)
    assert not llm.engine.has_work and not llm.engine.steps


def test_over_an_encoder_decoder_adapters_are_refused(loras, tmp_path) -> None:
    name, fields = ENCODER_DECODERS["t5"]
    model_class = getattr(transformers, name)
    llm = LLM(save(make_any(model_class, fields), tmp_path), device="cpu", skip_tokenizer_init=True)
    with pytest.raises(RequestError, match="adapters are served over decoders; this is a t5"):
        llm.generate({"prompt_token_ids": [5, 6, 7]}, GREEDY, lora_request=loras[0])
