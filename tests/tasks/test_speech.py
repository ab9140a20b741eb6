"""How the decoder begins: as transformers begins it for every published dialect, and by the tokenizer where one asks."""

from types import SimpleNamespace

import pytest
import torch
from parity.whisper_cases import ENGLISH, SPOKEN, TINY
from transformers import GenerationConfig, WhisperConfig
from transformers.models.whisper.generation_whisper import WhisperGenerationMixin

from pellucid.errors import ConfigError, RequestError
from pellucid.models.registry import read_config
from pellucid.tasks.speech import completed, read_speech

_, CONFIG = read_config({"model_type": "whisper", **TINY})
DETECTED = 63
OLD = {"no_timestamps_token_id": 70}
SETTINGS = {
    "multilingual": SPOKEN,
    "with the forced ids of its day": {**SPOKEN, "forced_decoder_ids": [[1, None], [2, 66]]},
    "forced to French": {**SPOKEN, "forced_decoder_ids": [[1, 63], [2, 66], [3, 70]]},
    "English": ENGLISH,
    "English without forced ids": {**ENGLISH, "forced_decoder_ids": None},
    "old": {**OLD, "forced_decoder_ids": [[1, 62], [2, 65], [3, 70]]},
    "bare": {},
}


class Published(WhisperGenerationMixin):
    """transformers' way to begin, with a language that is always heard."""

    device = torch.device("cpu")

    def detect_language(self, **_):
        return torch.tensor([DETECTED])


def published(settings, language, task, times):
    config = GenerationConfig(decoder_start_token_id=61, return_timestamps=times)
    for name, value in settings.items():
        setattr(config, name, value)
    Published._set_language_and_task(language, task, None, config)
    made = Published()._retrieve_init_tokens(torch.zeros(1), 1, config, WhisperConfig(**TINY), 64, {})
    return made[0].tolist()


def speech(settings):
    return read_speech(CONFIG, {}, settings, (60,))


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize(
    ("name", "language", "task"),
    [
        ("multilingual", None, "transcribe"), ("multilingual", None, "translate"), ("multilingual", "fr", None), ("multilingual", "haw", "translate"),
        ("multilingual", "<|en|>", "transcribe"), ("multilingual", "French", "translate"), ("with the forced ids of its day", None, None),
        ("with the forced ids of its day", None, "translate"), ("with the forced ids of its day", "fr", None), ("forced to French", None, None),
        ("forced to French", "en", "translate"), ("English", None, None), ("English without forced ids", None, None), ("old", None, None), ("bare", None, None),
    ],
)  # fmt: skip
def test_the_beginning_is_the_published_one(name, language, task, times) -> None:
    settings = SETTINGS[name]
    if times and name == "bare":
        return
    begin = speech(settings).begin(language, task, times)
    assert [DETECTED if token is None else token for token in begin] == published(
        settings, language, task, times
    )


def test_the_task_is_transcribing_where_nothing_says_so() -> None:
    assert speech(SPOKEN).begin(None, None, False) == (61, None, 66, 70)
    said = {**SPOKEN, "task": "translate", "language": "french"}
    assert speech(said).begin(None, None, True) == (61, 63, 65)
    assert speech(said).begin("haw", "transcribe", True) == (61, 64, 66)
    assert speech(SETTINGS["forced to French"]).begin(None, "transcribe", False) == (61, 63, 66, 70)
    assert speech({}).begin(None, "transcribe", False) == (61,)


def test_the_language_of_a_beginning() -> None:
    assert speech(SPOKEN).language_of([61, 64, 66]) == "haw"
    assert speech(SPOKEN).language_of([61, 66]) is None
    assert speech(ENGLISH).language_of([61]) == "en"


@pytest.mark.parametrize(
    ("settings", "asked", "message"),
    [
        (SPOKEN, ("de", None, False), "none that this model knows; it knows en, fr, haw"),
        (SPOKEN, ("klingon", None, False), "klingon"),
        (SPOKEN, (None, "sing", False), "allowed are transcribe, translate"),
        (ENGLISH, ("fr", None, False), "English only"),
        (ENGLISH, (None, "translate", False), "English only"),
        ({}, ("fr", None, False), "lang_to_id"),
        ({}, (None, "translate", False), "lang_to_id"),
        (SPOKEN, (5, None, False), "a code or a name"),
        (ENGLISH, (["en"], None, False), "a code or a name"),
        ({**SPOKEN, "task_to_id": {"translate": 65}}, ("fr", None, False), "task_to_id"),
    ],
)
def test_what_cannot_be_asked_is_refused(settings, asked, message) -> None:
    with pytest.raises(RequestError, match=message):
        speech(settings).begin(*asked)


def test_times_need_their_tokens() -> None:
    with pytest.raises(RequestError, match="no_timestamps_token_id"):
        speech({}).rules(1, times=True)
    with pytest.raises(RequestError, match="no_timestamps_token_id"):
        speech({"no_timestamps_token_id": 119}).rules(1, times=True)
    assert len(speech(SPOKEN).rules(3, times=True)) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lang_to_id", {"<|en|>": 5000}), ("lang_to_id", [1, 2]), ("task_to_id", {"translate": "x"}), ("forced_decoder_ids", [[1, 62], [3, 66]]),
        ("forced_decoder_ids", [1, 2]), ("forced_decoder_ids", [[1, 5000]]), ("no_timestamps_token_id", -1), ("decoder_start_token_id", 1.5),
        ("suppress_tokens", [-1]), ("suppress_tokens", 5), ("begin_suppress_tokens", [500]), ("max_length", "448"), ("max_initial_timestamp_index", -1), ("logprob_threshold", "low"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_named(name, value) -> None:
    with pytest.raises(ConfigError, match=name):
        speech({**SPOKEN, name: value}).rules(1, times=False)


def test_what_old_settings_leave_unsaid_the_tokenizer_says() -> None:
    names = {
        "<|notimestamps|>": 70,
        "<|en|>": 62,
        "<|de|>": 63,
        "<|transcribe|>": 66,
        "<|translate|>": 65,
        "<|startofprev|>": 68,
    }
    tokenizer = SimpleNamespace(id=names.get)
    found = completed({"lang_to_id": {"<|fr|>": 64}}, tokenizer, 51865)
    assert found["lang_to_id"] == {"<|fr|>": 64} and found["no_timestamps_token_id"] == 70
    assert found["is_multilingual"] is True and completed({}, tokenizer, 51864)["is_multilingual"] is False
    assert completed({}, tokenizer, 51865)["lang_to_id"] == {"de": 63, "en": 62}
    assert completed({"a": 1}, None, 120) == {"a": 1}


def test_settings_of_config_json_hold_without_a_generation_config() -> None:
    old = {
        "suppress_tokens": [1, 2],
        "begin_suppress_tokens": [3],
        "forced_decoder_ids": [[1, 62]],
        "d_model": 384,
    }
    found = read_speech(CONFIG, old, {}, (60,))
    assert len(found.rules(2, times=False)) == 2 and found.begin(None, None, False) == (61, 62)
    newer = read_speech(CONFIG, old, {"max_length": 40}, (60,))
    assert newer.rules(2, times=False) == () and newer.begin(None, None, False) == (61, 62)
