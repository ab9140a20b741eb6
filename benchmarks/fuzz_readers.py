"""Feeds damaged files to every reader: only a PellucidError may come of it, and no memory beyond a bound.

`python benchmarks/fuzz_readers.py [--minutes 10] [READER ...]` runs each reader in a process of its own whose
memory is limited, for so much processor time, by Hypothesis; a find is shrunk and printed. A short run is
among the tests.
"""

import argparse
import json
import logging
import math
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.loading import load_checkpoint
from pellucid.models.registry import FAMILIES
from pellucid.text import ChatTemplate

MEMORY_LIMIT = 3 * 2**30
"""How much address space a reader may take beyond what the imports took."""
SLOWEST = 20.0
"""Seconds of processor time that one input may take; a paused or busy machine makes nothing slower."""

LLAMA = {
    "model_type": "llama", "vocab_size": 40, "hidden_size": 32, "intermediate_size": 24,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
    "max_position_embeddings": 64, "hidden_act": "silu",
}  # fmt: skip
# What some family needs and the others do not mind.
ANY_FAMILY = {
    **LLAMA, "d_model": 32, "d_ff": 24, "d_kv": 8, "num_layers": 2, "num_heads": 4, "n_embd": 32,
    "n_layer": 2, "n_head": 4, "n_positions": 64, "n_layers": 2, "n_heads": 4, "dim": 32, "hidden_dim": 24,
    "type_vocab_size": 2, "layer_norm_eps": 1e-5, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24,
    "bos_token_id": 1, "eos_token_id": [2], "pad_token_id": 0, "decoder_start_token_id": 0, "image_size": 8,
    "patch_size": 4, "num_channels": 3, "text_config": LLAMA,
}  # fmt: skip
# What some family reads and the others refuse.
FOR_SOME = {
    "tie_word_embeddings": True, "rope_theta": 1e5, "head_dim": 8, "sliding_window": 8,
    "use_sliding_window": True, "layer_types": ["full_attention"] * 2, "num_experts": 4,
    "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
    "partial_rotary_factor": 0.5, "query_pre_attn_scalar": 4, "no_rope_layers": [1, 0],
    "attention_bias": True, "num_key_value_heads": 4, "relative_attention_num_buckets": 8, "n_inner": None,
    "decoder_sparse_step": 1, "architectures": ["BertForMaskedLM"], "id2label": {"0": "no", "1": "yes"},
    "sliding_window_pattern": 2, "rope_parameters": {"full_attention": {"rope_type": "default"}},
    "original_max_position_embeddings": 32,
}  # fmt: skip
ROPES = ("default", "linear", "dynamic", "yarn", "llama3", "longrope", "su", "unheard of")
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <|end|>"}]
TEMPLATES = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim }}{{ eos_token }}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for m in messages if m.role != 'tool' %}{% set ns.n = ns.n + 1 %}"
    "{{ loop.index0 }}{{ m.content[:40] }}{% endfor %}{{ ns.n }}",
    "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ bos_token ~ messages }}",
    "{% macro f(x) %}{{ x | tojson }}{% endmacro %}{{ f(messages) }}{{ strftime_now('%Y') }}",
)
FRAGMENTS = (
    "{{", "}}", "{%", "%}", "for", "in", "range(10**9)", "''.__class__", "messages", "|join", "*", "'a'",
    "{% for a in range(999) %}", "{% endfor %}", "set x = x ~ x", "loop", "recursive", "self", "import",
    "|string", "[0]", "(", ")", "'%s'|format", "|replace('', 'aaaa')",
    "{% macro f() %}{{ f() }}{% endmacro %}", ".format", "|center(10**9)", "|batch(1)", "namespace(a=1)",
    "lipsum()", "cycler", "|attr('__init__')", "10**9", "__mro__", "f()",
)  # fmt: skip

odd_numbers = st.sampled_from(
    [0, 1, 2, 3, 7, 64, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, 10**30, -1, -(2**63)]
)
odd_values = st.recursive(
    odd_numbers
    | st.sampled_from(
        [None, True, False, "", "x", 0.5, -1.5, 1e308, math.nan, math.inf, "longrope", "gelu", "1"]
    )
    | st.integers()
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["type", "rope_type", "factor", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
odd_ropes = st.fixed_dictionaries(
    {"rope_type": st.sampled_from(ROPES)},
    optional={
        name: odd_values | st.floats(0.1, 64)
        for name in (
            "factor",
            "rope_theta",
            "original_max_position_embeddings",
            "low_freq_factor",
            "beta_fast",
        )
    }
    | {
        "high_freq_factor": st.floats(0.1, 8),
        "short_factor": st.lists(st.floats(0.5, 4), max_size=4),
        "long_factor": st.just([1.0, 2.0]) | odd_values,
    },
)
# An edit is where (a share of the length), what, and how much is taken away there.
edits = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.binary(max_size=8) | st.builds(lambda n: struct.pack("<Q", n % 2**64), odd_numbers),
        st.sampled_from([0, 1, 4, 8, 100, 10**6]),
    ),
    min_size=1,
    max_size=5,
)


def edited(data: bytes, changes: list[tuple[float, bytes, int]], within: int) -> bytes:
    """The data with edits in its first `within` bytes; 0 takes away as much as is put in."""
    for share, put, taken in changes:
        at = int(share * min(within, len(data)))
        data = data[:at] + put + data[at + (taken or len(put)) :]
    return data


def only_clear_errors(read: Callable[[], object]) -> None:
    """Nothing, or a PellucidError of one line, in time, that hides no want of memory."""
    began = time.process_time()
    signal.signal(signal.SIGPROF, too_slow)
    signal.setitimer(signal.ITIMER_PROF, SLOWEST)
    try:
        read()
    except PellucidError as error:
        assert "\n" not in str(error), f"not one line: {error}"
        assert not any(isinstance(cause, MemoryError) for cause in causes(error)), "ran out of memory"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    assert time.process_time() - began < SLOWEST, "too slow"


def too_slow(signum: int, frame: object) -> None:
    """Ends an input that would never end."""
    raise AssertionError("too slow")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def load(source: Path) -> None:
    """Open a checkpoint and, where it opens, load it."""
    load_checkpoint(open_checkpoint(source), device="cpu").logits([1, 2, 3])


def safetensors_reader(folder: Path) -> Callable[..., None]:
    """Bytes of the file, and fields of its header."""
    data = write_llama(folder)
    file = folder / "model.safetensors"
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    names = st.sampled_from(sorted(header))
    fields = st.sampled_from(["dtype", "shape", "data_offsets"])

    @given(
        edits,
        st.none() | st.tuples(names, fields, odd_values | st.lists(odd_numbers, max_size=3)),
        st.booleans(),
    )
    def run(changes: list, field: tuple | None, whole: bool) -> None:
        if field is None:
            file.write_bytes(edited(data, changes, len(data) if whole else 8 + length))
        else:
            name, key, value = field
            text = json.dumps(header | {name: header[name] | {key: value}}).encode()
            file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
        only_clear_errors(lambda: load(folder))

    return run


def gguf_reader(folder: Path) -> Callable[..., None]:
    """Bytes of the file, most of them in its header."""
    data = gguf_file()
    file = folder / "model.gguf"

    @given(edits, st.booleans())
    def run(changes: list, whole: bool) -> None:
        file.write_bytes(edited(data, changes, len(data) if whole else len(data) // 4))
        only_clear_errors(lambda: load(file))
        only_clear_errors(lambda: open_checkpoint(file).tokenizer())

    return run


def config_reader(folder: Path) -> Callable[..., None]:
    """Odd values in the fields of every family's config, and odd bytes in the file."""
    write_llama(folder)
    file = folder / "config.json"
    kinds = st.sampled_from(sorted(FAMILIES))
    changed = st.dictionaries(st.sampled_from(sorted(ANY_FAMILY | FOR_SOME)), odd_values, max_size=2)
    added = st.lists(st.sampled_from(sorted(FOR_SOME)), max_size=2)
    ropes = st.none() | odd_ropes
    numbers = sorted(name for name, value in (ANY_FAMILY | FOR_SOME).items() if type(value) is int)
    sizes = st.none() | st.tuples(st.sampled_from(numbers), odd_numbers)

    @given(kinds, changed, added, ropes, sizes, st.none() | edits)
    def run(
        kind: str,
        fields: dict,
        more: list[str],
        rope: dict | None,
        size: tuple[str, int] | None,
        changes: list | None,
    ) -> None:
        config = ANY_FAMILY | {name: FOR_SOME[name] for name in more} | {"model_type": kind}
        config |= ({"rope_scaling": rope} if rope else {}) | ({size[0]: size[1]} if size else fields)
        text = json.dumps(config).encode()
        file.write_bytes(edited(text, changes, len(text)) if changes else text)
        only_clear_errors(lambda: load(folder))
        only_clear_errors(lambda: open_checkpoint(folder).empty_body())

    return run


def template_reader(folder: Path) -> Callable[..., None]:
    """Published templates with pieces put in, and heaps of pieces."""
    pieces = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=12)

    @given(st.sampled_from(TEMPLATES), pieces, st.floats(0, 1), st.booleans())
    def run(template: str, put: list[str], share: float, alone: bool) -> None:
        at = int(share * len(template))
        source = " ".join(put) if alone else template[:at] + " ".join(put) + template[at:]
        special = {"bos_token": "<s>", "eos_token": "</s>"}
        only_clear_errors(lambda: ChatTemplate(source, special).render(MESSAGES))

    return run


READERS = {
    "safetensors": safetensors_reader,
    "gguf": gguf_reader,
    "config": config_reader,
    "template": template_reader,
}


def write_llama(folder: Path) -> bytes:
    """A whole tiny checkpoint; gives its weight file."""
    import torch
    from safetensors.torch import save

    from pellucid.models.registry import read_config
    from pellucid.models.weights import targets

    (folder / "config.json").write_text(json.dumps(LLAMA))
    family, config = read_config(LLAMA)
    with torch.device("meta"):
        body = family.build(config)
    shapes = {name: parameter.shape for name, parameter in body.named_parameters()}
    tensors = {
        name: torch.full((target.stop - target.start, *shapes[target.parameter][1:]), 0.1)
        for name, target in targets(body, family).items()
    }
    data = save(tensors)
    (folder / "model.safetensors").write_bytes(data)
    return data


def gguf_file() -> bytes:
    """A whole tiny checkpoint in one GGUF file, with a vocabulary."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def entry(key: str, kind: int, value: bytes) -> bytes:
        return text(key) + struct.pack("<I", kind) + value

    def array(kind: int, values: list[bytes]) -> bytes:
        return struct.pack("<IQ", kind, len(values)) + b"".join(values)

    sizes = {
        "block_count": 1, "context_length": 64, "embedding_length": 32, "feed_forward_length": 32,
        "attention.head_count": 4, "attention.head_count_kv": 2,
    }  # fmt: skip
    tokens = ["<unk>", "<s>", "</s>", "▁a", *map(chr, range(97, 125))]
    values = [
        entry("general.architecture", 8, text("llama")),
        *(entry(f"llama.{name}", 4, struct.pack("<I", size)) for name, size in sizes.items()),
        entry("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
        entry("tokenizer.ggml.model", 8, text("llama")),
        entry("tokenizer.ggml.tokens", 9, array(8, [text(token) for token in tokens])),
        entry("tokenizer.ggml.scores", 9, array(6, [struct.pack("<f", -i) for i in range(32)])),
        entry(
            "tokenizer.ggml.token_type",
            9,
            array(5, [struct.pack("<i", 3 if i < 3 else 1) for i in range(32)]),
        ),
        entry("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 1)),
        entry("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 2)),
        entry("tokenizer.chat_template", 8, text(TEMPLATES[0])),
    ]
    q8_0, f32 = (8, 34), (0, 128)  # type number, bytes of 32 numbers
    shapes = {"token_embd": (32, 32, *q8_0), "output": (32, 32, *q8_0), "output_norm": (32, 0, *f32)}
    block = {
        "attn_q": 32,
        "attn_k": 16,
        "attn_v": 16,
        "attn_output": 32,
        "ffn_gate": 32,
        "ffn_up": 32,
        "ffn_down": 32,
    }
    shapes |= {f"blk.0.{name}": (32, rows, *q8_0) for name, rows in block.items()}
    shapes |= {f"blk.0.{name}": (32, 0, *f32) for name in ("attn_norm", "ffn_norm")}
    tensors, at = [], 0
    for name, (inner, rows, kind, size) in shapes.items():
        dims = (inner, rows) if rows else (inner,)
        tensors.append(text(f"{name}.weight") + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, at))
        at += -(-(rows or 1) * size // 32) * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)) + b"".join(values) + b"".join(tensors)
    return head + bytes(-len(head) % 32 + at)


def fuzz(reader: str, examples: int, seconds: float = math.inf) -> int:
    """Run one reader on so many examples, again and again until its processor time is over; how many."""
    phases = [Phase.explicit, Phase.generate, Phase.shrink]
    how = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=phases,
        derandomize=seconds == math.inf,
        suppress_health_check=list(HealthCheck),
    )
    began, done = time.process_time(), 0
    with tempfile.TemporaryDirectory() as scratch:
        run = how(READERS[reader](Path(scratch)))
        while True:
            run()
            done += examples
            if seconds == math.inf or time.process_time() - began > seconds:
                return done


def quiet() -> None:
    """Say nothing of the thousands of odd checkpoints that do open."""
    logging.getLogger("pellucid").setLevel(logging.ERROR)


def limit_memory() -> None:
    """More than the bound is a MemoryError, which no reader may end in."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", choices=[[], *READERS], metavar="READER")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.in_this_process:
        quiet()
        limit_memory()
        print(fuzz(asked.readers[0], 500, asked.minutes * 60))
        return
    failed = False
    for reader in asked.readers or READERS:
        command = [sys.executable, __file__, reader, "--minutes", str(asked.minutes), "--in-this-process"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        outcome = f"{done.stdout.strip()} inputs" if done.returncode == 0 else f"FAILED ({done.returncode})"
        print(f"{reader}: {outcome}", flush=True)
        failed |= done.returncode != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
