"""translate and summarize apply the published prefixes and searches; LLM serves every kind of body."""

import json
import shutil

import pytest
import torch
import transformers
from parity import random_models
from tasks.encoder_folders import make_folder

from pellucid import LLM, RequestError, SamplingParams, summarize, translate

TASKS = {
    "summarization": {
        "early_stopping": True, "length_penalty": 2.0, "max_length": 16, "min_length": 6,
        "no_repeat_ngram_size": 3, "num_beams": 4, "prefix": "summarize: ",
    },
    "translation_en_to_de": {"max_length": 12, "num_beams": 4, "prefix": "translate English to German: "},
    "translation_en_to_fr": {"max_length": 12, "num_beams": 2, "prefix": "translate English to French: "},
}  # fmt: skip
TEXTS = ["The house is wonderful.", "I have a cat and a dog, and they sleep all day."]


@pytest.fixture(scope="module")
def t5(tmp_path_factory, test_data):
    folder = tmp_path_factory.mktemp("t5")
    fields = {"vocab_size": 32128, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}  # fmt: skip
    published = random_models.make(
        transformers.T5ForConditionalGeneration, fields | {"tie_word_embeddings": False}
    )
    with torch.no_grad():
        published.lm_head.weight = torch.nn.Parameter(torch.randn(32128, 32))
    random_models.save(published, folder)
    for file in (test_data / "tokenizers" / "t5-small").iterdir():
        shutil.copy(file, folder)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"task_specific_params": TASKS}))
    return published, LLM(folder, device="cpu", num_gpu_blocks_override=256)


def expected(pair, text: str, task: str) -> str:
    published, llm = pair
    settings = {k: v for k, v in TASKS[task].items() if k != "prefix"}
    ids = torch.tensor([llm.tokenizer.encode(TASKS[task]["prefix"] + text)])
    made = published.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **settings)
    return llm.tokenizer.decode(made[0, 1:].tolist()).strip()


def test_translate(t5) -> None:
    assert translate(TEXTS[0], t5[1], target="de") == expected(t5, TEXTS[0], "translation_en_to_de")
    both = translate(TEXTS, t5[1], source="en", target="fr")
    assert both == [expected(t5, text, "translation_en_to_fr") for text in TEXTS]


def test_summarize(t5) -> None:
    assert summarize(TEXTS, t5[1]) == [expected(t5, text, "summarization") for text in TEXTS]


def test_a_pair_must_be_chosen_where_there_are_several(t5) -> None:
    with pytest.raises(RequestError, match="translation_en_to_de, translation_en_to_fr"):
        translate(TEXTS[0], t5[1])


def test_generate_takes_the_encoders_input(t5) -> None:
    published, llm = t5
    (output,) = llm.generate(TEXTS[0], SamplingParams(temperature=0, max_tokens=8), use_tqdm=False)
    ids = torch.tensor([llm.tokenizer.encode(TEXTS[0])])
    made = published.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
    assert output.outputs[0].token_ids == made[0, 1:].tolist()


def test_an_encoder_embeds_and_writes_nothing(tmp_path) -> None:
    make_folder(tmp_path, "BertForMaskedLM")
    llm = LLM(tmp_path, device="cpu")
    assert len(llm.embed("the cat sat")[0].outputs.embedding) == 32
    assert len(llm.fill_mask("the [MASK] sat")[0].words) == 5
    with pytest.raises(RequestError, match="writes no text"):
        llm.generate("the cat")
    with pytest.raises(RequestError, match="no encoder-decoder of texts"):
        translate("the cat", llm)
