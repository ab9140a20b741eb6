"""Chat templates render as transformers renders them, feature by feature, limits and rewriting notwithstanding."""

import json

import pytest

from pellucid.text import ChatTemplate, load_tokenizer

transformers = pytest.importorskip("transformers")
from transformers.utils.chat_template_utils import render_jinja_template  # noqa: E402

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What <b>is</b> “this”?"}, {"type": "image"}]},
    {"role": "assistant", "content": "<think>hm</think> It is  a cat. ", "tool_calls": [
        {"id": "a1", "type": "function", "function": {"name": "look", "arguments": {"n": 1, "deep": [1, 2.5, None, True]}}}]},
    {"role": "tool", "name": "look", "content": '{"x": "é"}'},
    {"role": "user", "content": "  Thanks \n"},
]  # fmt: skip
TOOLS = [
    {"type": "function", "function": {"name": "look", "description": "It's & <so>", "parameters": {
        "type": "object", "properties": {"n": {"type": "integer"}, "items": {"type": "array"}}, "required": ["n"]}}},
]  # fmt: skip
SNIPPETS = [
    "{{ messages }}", "{{ messages | tojson }}", "{{ tools | tojson(indent=4) }}", "{{ messages[-1].content | trim }}",
    "{{ messages[2]['content'].split('</think>')[-1].lstrip('\\n').strip() }}", "{{ messages[::-1][0].role }}",
    "{{ messages[1:3] | length }} {{ messages[1:] | map(attribute='role') | join(', ') }}",
    "{% for m in messages if m.role != 'system' %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}"
    "{{ loop.previtem.role if loop.previtem is defined else '-' }} {% else %}none{% endfor %}",
    "{% for m in messages %}{% if loop.index0 == 2 %}{% continue %}{% endif %}{{ m.role }}{% if m.role == 'tool' %}"
    "{% break %}{% endif %}{% endfor %}",
    "{% set ns = namespace(n=0, last='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.last = m.role %}"
    "{% endfor %}{{ ns.n }} {{ ns.last }}",
    "{% set x = 1 %}{% for m in messages %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% macro show(m, sep=': ') %}{{ m.role }}{{ sep }}{{ caller() if caller else m.content }}{% endmacro %}"
    "{{ show(messages[0]) }}{{ show(messages[0], sep='=') }}{% call show(messages[4]) %}called{% endcall %}",
    "{% macro kind(p) %}{% for k, v in p.items() %}{{ k }}={{ kind(v) if v is mapping else v }};{% endfor %}{% endmacro %}"
    "{{ kind(tools[0].function.parameters) }}",
    "{% for k, v in tools[0].function.parameters.properties.items() %}{{ k }}:{{ v.type }}{{ ',' if not loop.last }}{% endfor %}",
    "{{ tools[0].function.parameters.properties | dictsort }} {{ tools[0].function | items | list }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('tool_calls') | list | length }}",
    "{% if messages[1].content is string %}a{% elif messages[1].content is iterable %}b{% endif %}",
    "{{ 'a' ~ 1 ~ none ~ true ~ [1] }} {{ 'a' in 'cat' }} {{ 'x' not in ['y'] }} {{ 1 < 2 < 3 }} {{ 'role' in messages[0] }}",
    "{{ 7 // 2 }} {{ 7 % 3 }} {{ 2 ** 10 }} {{ 7 / 2 }} {{ -3 | abs }} {{ 3.14159 | round(2) }} {{ '12' | int + 1 }} {{ [3, 1] | sum }}",
    "{{ '%s is %05.1f' % ('x', 2.5) }} {{ '{:>6}|{name}'.format('ab', name=1) }} {{ 'a-b' | replace('-', '+') | upper | title }}",
    "{{ missing is defined }} {{ missing | default('d') }} {{ messages[0].name | default('nobody', true) }} {{ missing }}",
    "{% set text %}  {{ messages[0].content }}\n  two{% endset %}{{ text | indent(4, true) }}|{{ text.splitlines() }}",
    "{% filter upper %}{{ messages[0].content }}{% endfilter %}{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}",
    "{{ dict(a=1, b=2) }} {{ {'k': [1, (2, 3)]} }} {{ range(3) | list }} {{ [1, 2, 2] | unique | list }} {{ [2, 1] | sort }}",
    "{{ (messages | first).role }} {{ (messages | last).role }} {{ messages | map(attribute='role') | unique | list }}",
    "{{ messages | groupby('role') | map(attribute='grouper') | list }} {{ 'abc' | reverse }} {{ [1, 2] | reverse | list }}",
    "{% generation %}{{ messages[2].content }}{% endgeneration %} {{ add_generation_prompt }} {{ bos_token }}",
    "{{ messages[0].content.startswith('Be') }} {{ messages[0].content.upper() }} {{ messages[0].get('name', 'none') }}",
    "a\n  {% if true %}\n    b\n  {% endif %}\n{# note #}\n  c\n{%- if true -%}\n d \n{%- endif +%}\n e\n",
    "{% for a in [[1, [2]], 3] recursive %}{{ loop(a) if a is iterable else a }}{{ loop.depth }}{% endfor %}",
    "{{ messages[2].content | e }} {{ '<b>' | safe }} {{ 'x' | string | list }} {{ loop is defined }}",
    "{% set a, b = messages[0].role, 2 %}{{ a }}{{ b }} {% set d = {'x': {'y': 1}} %}{{ d.x.y }} {{ d['x']['y'] }} {{ d.items() | list }}",
]  # fmt: skip


def published(source, **values):
    rendered, _ = render_jinja_template(conversations=[MESSAGES], chat_template=source, **values)
    return rendered[0]


@pytest.mark.parametrize("source", SNIPPETS)
def test_features(source):
    ours = ChatTemplate(source, {"bos_token": "<s>"}).render(MESSAGES, tools=TOOLS)
    assert ours == published(source, tools=TOOLS, add_generation_prompt=True, bos_token="<s>")


def test_the_whole_way_from_messages_to_ids(test_data, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for file in (test_data / "tokenizers/phi-3-mini").iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "phi3"}))
    ours, theirs = load_tokenizer(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    turns = [{"role": role, "content": f"It is {role}, 🦙."} for role in ("user", "assistant", "user")]
    ids = theirs.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert ours.encode(ours.chat_template.render(turns), add_special_tokens=False) == ids
