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


TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather in Paris?"},
    {
        "role": "assistant",
        "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}],
    },
    {"role": "tool", "name": "weather", "content": '{"degrees": 21}'},
]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Now & here", "parameters": {"type": "object"}},
}
WITH_TOOLS = """\
{%- if tools %}{{ '<tools>' }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{{ '</tools>' }}{% endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
{{ '<result>' + message.content + '</result>' }}
    {%- elif message.tool_calls is defined %}
        {%- for call in message.tool_calls %}
{{ '<call>' ~ call.function.name ~ ' ' ~ (call.function.arguments | tojson(indent=2)) ~ '</call>' }}
            {%- if loop.last %}{% break %}{% endif %}
        {%- endfor %}
    {%- else %}
{{ '<' + message.role + '>' }}{% generation %}{{ message.content }}{% endgeneration %}
    {%- endif %}
{%- endfor %}
"""


def test_system_and_tool_turns_and_tools():
    assert ChatTemplate(WITH_TOOLS).render(TURNS, tools=[TOOL]) == (
        '<tools>{"type": "function", "function": {"name": "weather", "description": "Now & here", '
        '"parameters": {"type": "object"}}}</tools>'
        "<system>Be brief.<user>Weather in Paris?"
        '<call>weather {\n  "city": "Paris"\n}</call><result>{"degrees": 21}</result>'
    )


def test_templates_by_name():
    template = ChatTemplate({"default": "plain", "tool_use": "tools", "rag": "{{ documents[0].text }}"})
    assert template.render(USER) == "plain"
    assert template.render(USER, tools=[TOOL]) == "tools"
    assert template.render(USER, documents=[{"text": "found"}], template="rag") == "found"
    with pytest.raises(TokenizerError, match=r"no chat template named 'poem'.*among default, rag, tool_use"):
        template.render(USER, template="poem")


def test_the_generation_prompt_and_further_variables():
    template = ChatTemplate(
        "{{ add_generation_prompt }} {{ enable_thinking }} {{ bos_token }}", {"bos_token": "<s>"}
    )
    assert template.render(USER, add_generation_prompt=False, enable_thinking=True) == "False True <s>"


def test_dates():
    from datetime import datetime

    assert ChatTemplate("{{ strftime_now('%Y') }}").render(USER) == str(datetime.now().year)


def test_a_refusal_is_the_requests_fault_and_a_broken_template_the_checkpoints():
    with pytest.raises(RequestError, match="refuses this conversation: no system turn"):
        ChatTemplate("{{ raise_exception('no system turn') }}").render(USER)
    with pytest.raises(TokenizerError, match=r"no valid Jinja.*line 1"):
        ChatTemplate("{% if %}").render(USER)
    with pytest.raises(TokenizerError, match=r"failed on this conversation.*'nothing' is undefined"):
        ChatTemplate("{{ nothing.at.all }}").render(USER)


def test_what_a_hostile_template_says_stays_one_line_without_control_characters():
    with pytest.raises(RequestError, match=r"conversation: no \[31m system turn$"):
        ChatTemplate("{{ raise_exception('no\n\x1b[31m\tsystem\u202e turn') }}").render(USER)


def test_templates_from_a_folder(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n")
    assert load_tokenizer(tmp_path).chat_template is None
    named = [{"name": "default", "template": "one"}, {"name": "tool_use", "template": "two"}]
    config = {"chat_template": named, "eos_token": "[SEP]", "additional_special_tokens": ["[A]", "[B]"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    template = load_tokenizer(tmp_path).chat_template
    assert (template.render(USER), template.render(USER, tools=[TOOL])) == ("one", "two")
    (tmp_path / "chat_template.jinja").write_text("{{ eos_token }}{{ additional_special_tokens[1] }}")
    template = load_tokenizer(tmp_path).chat_template
    assert (template.render(USER), template.render(USER, tools=[TOOL])) == ("[SEP][B]", "two")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates/tool_use.jinja").write_text("three")
    assert load_tokenizer(tmp_path).chat_template.render(USER, tools=[TOOL]) == "three"
