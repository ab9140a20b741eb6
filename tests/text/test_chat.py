"""Published chat templates render as published; what they refuse or break ends in one clear error."""

import json
import os
from pathlib import Path

import pytest

from pellucid.errors import RequestError, TokenizerError
from pellucid.text import ChatTemplate, load_tokenizer

FOLDER = os.environ.get("PELLUCID_TEST_DATA")
VECTORS = (
    json.loads(Path(FOLDER, "vectors/llamacpp_chat_template_vectors.json").read_text())
    if FOLDER
    else {"cases": []}
)
RENDERED = [case for case in VECTORS["cases"] if case["plain_jinja2_render"] is not None]
REFUSED = [case for case in VECTORS["cases"] if case["plain_jinja2_render"] is None]
USER = [{"role": "user", "content": "Hello"}]


def template_of(case):
    return ChatTemplate(
        case["template_str"], {"bos_token": case["bos_token"], "eos_token": case["eos_token"]}
    )


@pytest.mark.parametrize("case", RENDERED, ids=lambda case: case["name"])
def test_published_templates_render_as_the_reference_engine_does(case):
    assert template_of(case).render(VECTORS["conversation"]) == case["plain_jinja2_render"]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["name"])
def test_templates_that_refuse_the_conversation_say_so(case):
    with pytest.raises((RequestError, TokenizerError), match="chat template"):
        template_of(case).render(VECTORS["conversation"])


def test_the_shared_vectors_are_all_there(test_data):
    assert (len(RENDERED), len(REFUSED)) == (27, 3)


def test_phi3_renders_with_its_own_template(test_data):
    template = load_tokenizer(test_data / "tokenizers/phi-3-mini").chat_template
    assert template.render(USER) == "<|user|>\nHello<|end|>\n<|assistant|>\n"
