"""A hostile chat template neither hangs, nor eats memory, nor reaches Python; an honest one never notices."""

import resource
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import PellucidError, TokenizerError
from pellucid.text import ChatTemplate
from pellucid.text.template_meter import STEPS

USER = [{"role": "user", "content": "Hello"}]


def render(source, messages=USER, **values):
    return ChatTemplate(source).render(messages, **values)


def growing(step, start="'aaaa'"):
    """A template that makes its value larger a hundred times over."""
    return (
        f"{{% set ns = namespace(x={start}) %}}{{% for i in range(100) %}}{step}{{% endfor %}}{{{{ ns.x }}}}"
    )


ENDLESS = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x"
    "{% endfor %}{% endfor %}{% endfor %}",
    "loops that never run their body": "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "long bodies": "{% set x %}{% for a in range(99999) %}{% for b in range(99999) %}" + "y" * 50000
    + "{% endfor %}{% endfor %}{% endset %}",
    "macros that double": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "macros for ever": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "default arguments for ever": "{% macro f(x=f()) %}{% endmacro %}{{ f() }}",
    "recursive loops": "{% for a in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "maps over maps": "{% set a = range(99999)|list %}{{ ([a] * 99999)|map('sum')|list }}",
    "comparing": "{% set s = 'a' * 900000 %}{% set t = 'a' * 900000 %}{% for i in range(99999) %}{{ s == t }}{% endfor %}",
    "searching": "{% set s = 'a' * 900000 %}{% for i in range(99999) %}{{ 'b' in s }}{% endfor %}",
    "searching backwards": "{{ ('a' * 1000000).rfind('a' ~ 'b' ~ 'a' * 500000) }}",
    "stripping": "{{ ('a' * 1000000).strip('b' * 1000000 ~ 'a') }}",
    "slicing": "{% set s = 'a' * 900000 %}{% for i in range(99999) %}{% set y = s[1:] %}{% endfor %}",
    "sorting": "{{ (['a' * 100000] * 50000)|sort }}",
}  # fmt: skip
GROWING = {
    "'a' * n": "{{ 'a' * 1000000000 }}",
    "[0] * n": "{% set x = [0] * 1000000000 %}",
    "~": growing("{% set ns.x = ns.x ~ ns.x %}"),
    "+": growing("{% set ns.x = ns.x + ns.x %}"),
    "+ of lists": growing("{% set ns.x = ns.x + ns.x %}", "[1]"),
    "%": growing("{% set ns.x = '%s%s' % (ns.x, ns.x) %}"),
    "format": growing("{% set ns.x = '{0}{0}'.format(ns.x) %}"),
    "replace": growing("{% set ns.x = ns.x|replace('a', 'aa') %}"),
    "join": growing("{% set ns.x = [ns.x, ns.x]|join %}"),
    "set block": growing("{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"),
    "lists of lists, printed": growing("{% set ns.x = [ns.x, ns.x] %}", "[1]"),
    "lists of lists, as JSON": growing("{% set ns.x = [ns.x, ns.x] %}", "[1]").replace("ns.x }}", "ns.x|tojson }}"),
    "lists of lists, compared": growing("{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}", "[1], y=[1]")
    .replace("{{ ns.x }}", "{{ ns.x == ns.y }}"),
    "tuples of tuples, as keys": growing("{% set ns.x = (ns.x, ns.x) %}", "(1,)").replace("{{ ns.x }}", "{{ {ns.x: 1} }}"),
    "tuples of tuples, looked up": growing("{% set ns.x = (ns.x,) %}", "(1,)").replace("{{ ns.x }}", "{{ {}.get(ns.x) }}"),
    "nesting": growing("{% set ns.x = [ns.x] %}", "[1]"),
    "numbers": growing("{% set ns.x = ns.x * ns.x %}", "3"),
    "powers": "{{ 2 ** 1000000000 }}",
    "indent": "{{ 'a\nb'|indent(1000000000) }}",
    "many indents": "{{ ('a\n' * 90000)|indent(1000) }}",
    "center": "{{ 'a'|center(1000000000) }}",
    "zfill": "{{ 'a'.zfill(1000000000) }}",
    "expandtabs": "{{ '\t'.expandtabs(1000000000) }}",
    "printf width": "{{ '%1000000000d' % 1 }}",
    "printf star": "{{ '%*d' % (1000000000, 1) }}",
    "printf precision": "{{ '%.1000000000f'|format(1) }}",
    "format width": "{{ '{:>1000000000}'.format(1) }}",
    "nested format width": "{{ '{:>{w}}'.format(1, w=1000000000) }}",
    "many fields": "{{ ('{0}' * 10000).format('a' * 10000) }}",
    "JSON indent": "{{ [1, [2]]|tojson(indent=1000000000) }}",
    "JSON separators": "{{ range(9999)|list|tojson(separators=('a' * 9999, 'b' * 9999)) }}",
    "round": "{{ 1|round(-1000000000) }}",
    "range": "{{ range(10 ** 9)|list }}",
    "sum of lists": "{{ [[1]]|sum(start=[]) }}",
    "split": "{{ ('a ' * 9000000).split()|length }}",
    "list of characters": "{{ ('a' * 9000000)|list|length }}",
    "filler text": "{{ lipsum(100000000) }}",
    "dates": "{{ strftime_now('%Y' * 100000) }}",
}  # fmt: skip
REACHING = [
    "{{ ''.__class__.__mro__ }}", "{{ ''['__class__'] }}", "{{ ''|attr('__class__') }}", "{{ [''] |map(attribute='__class__')|list }}",
    "{{ '{0.__class__}'.format('') }}", "{{ '{a.__class__}'.format_map({'a': ''}) }}", "{{ '{0[__class__]}'.format('') }}",
    "{{ ().__class__.__base__.__subclasses__() }}", "{{ raise_exception.__globals__ }}", "{{ namespace.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os }}", "{{ self._TemplateReference__context }}", "{{ self.__class__ }}",
    "{% macro f() %}{% endmacro %}{{ f._func }}", "{% for i in [1] %}{{ loop._iterable }}{% endfor %}",
    "{% set ns = namespace() %}{{ ns.__class__ }}", "{{ messages.append(1) }}", "{{ messages[0].update({}) }}",
    "{{ messages.__class__ }}", "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% extends 'x' %}",
    "{{ ''.encode() }}", "{{ tick(-1000000) }}", "{{ environment.globals }}",
]  # fmt: skip
DEEP_SOURCE = {
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "sums": "{{ " + "1+" * 20000 + "1 }}",
    "negations": "{{ " + "not " * 15000 + "1 }}",
    "branches": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "attributes": "{{ a" + ".b" * 20000 + " }}",
    "length": "x" * 10**6,
}


@pytest.mark.parametrize("name", [*ENDLESS, *GROWING])
def test_templates_that_loop_or_grow_are_stopped(name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(TokenizerError, match="chat template"):
        render({**ENDLESS, **GROWING}[name])
    assert time.process_time() - start < 10  # about one second where nothing else runs
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize("source", REACHING)
def test_templates_that_reach_for_python_are_stopped(source):
    with pytest.raises(TokenizerError, match="chat template"):
        render(source)


@pytest.mark.parametrize("name", DEEP_SOURCE)
def test_sources_too_long_or_too_deep_are_refused(name):
    with pytest.raises(TokenizerError, match="chat template"):
        render(DEEP_SOURCE[name])


def test_the_limit_is_the_same_every_time():
    """It counts work, not seconds."""
    body = "{% for i in range(9999) %}x{% endfor %}"
    assert render(body * 20) == "x" * 9999 * 20
    for _ in range(2):
        with pytest.raises(TokenizerError, match="stopped"):
            render(body * 60)


def test_a_long_conversation_gets_limits_to_match():
    turns = [{"role": ("user", "assistant")[i % 2], "content": "word " * 500} for i in range(2000)]
    source = "{% for m in messages %}{{ '<' ~ m.role ~ '>' + m['content'] | trim + '\n' }}{% endfor %}"
    assert len(render(source, turns)) > 2 * STEPS


def test_nothing_but_plain_data_gets_in():
    with pytest.raises(PellucidError, match=r"messages\[0\]\.content is a object"):
        render("{{ messages }}", [{"role": "user", "content": object()}])
    loop = []
    loop.append(loop)
    with pytest.raises(PellucidError, match="nested more than 64 deep"):
        render("{{ messages }}", [{"content": loop}])


WORDS = st.sampled_from(
    "messages m.content m['role'] x y 'a' 3 -1 0.5 [x,y] (x,) {'k':x} none true loop.index loop range(3) ns ns.x f f(x) "
    "caller() ''.join(x) x.split() x.items() namespace(x=1) '%s' '{}' '{}'.format(x) undefined_name varargs".split()
)
JOINTS = st.sampled_from(
    "+ - * / // % ** ~ == != < >= in and or is|defined is|string |tojson |join |length |list |first |trim |upper "
    "|replace('a',x) |indent(2) |map('upper') |selectattr('role') |sort |unique |default(x) |int |round [0] [1:] "
    "[::-1] .x .strip()".split()
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(WORDS, JOINTS), min_size=1, max_size=5),
    WORDS,
    st.sampled_from(
        [
            "{{%s}}",
            "{%% if %s %%}a{%% endif %%}",
            "{%% for x in %s %%}{{x}}{{loop.last}}{%% endfor %%}",
            "{%% set ns.x = %s %%}{{ns.x}}",
            "{%% set x %%}{{%s}}{%% endset %%}{{x}}",
            "{%% call f(%s) %%}{%% endcall %%}",
        ]
    ),
)
def test_any_template_renders_or_ends_in_one_of_our_errors(pairs, last, frame):
    joined = "".join(
        f"{word} {joint.replace('|', ' ', 1) if joint[0] == 'i' else joint} " for word, joint in pairs
    )
    source = (
        "{% macro f(a) %}{{a}}{{varargs}}{% endmacro %}{% set ns = namespace(x='a') %}{% set y = 'b' %}"
        + frame % (joined + last)
    )
    try:
        render(source, USER)
    except PellucidError:
        pass
