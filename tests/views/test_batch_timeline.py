"""The timeline tells prefill, decode, waiting and preemption apart, step by step, with the cache's blocks below."""

from rich.console import Console

from pellucid.engine.record import StepRecord, Work
from pellucid.views.batch_timeline import timeline


def step(number, *work, waiting=(), preempted=(), blocks=1):
    return StepRecord(
        number=number, started=0.0, work=tuple(work), waiting=tuple(waiting), preempted=tuple(preempted),
        blocks_in_use=blocks, blocks_taken=0, blocks_freed=0, unused_slots=0, drafted=0, accepted=0,
        schedule_ms=1.0, model_ms=8.0, sample_ms=1.0,
    )  # fmt: skip


def prefill(name, tokens=8, new=1, hits=0):
    return Work(name, 0, "prefill", tokens, hits, new)


def decode(name, new=1, sample=0):
    return Work(name, sample, "decode", new, 0, new)


def lines(steps, **options):
    console = Console(width=options.get("width", 60), file=None, color_system=None)
    with console.capture() as capture:
        console.print(timeline(steps, **{"num_blocks": 4, "width": 60, **options}))
    return [line.rstrip() for line in capture.get().splitlines()]


RUN = [
    step(0, prefill("a", new=0), waiting=[("b", 0)], blocks=1),
    step(1, prefill("a"), waiting=[("b", 0)], blocks=2),
    step(2, decode("a"), prefill("b", hits=16), blocks=3),
    step(3, decode("a", new=3), waiting=[("b", 0)], preempted=[("b", 0)], blocks=4),
    step(4, prefill("b"), blocks=1),
]


def test_requests_go_down_and_steps_across():
    shown = lines(RUN, labels={"a": "The cat"})
    assert shown[:4] == [
        "step          0",
        "The cat       ██▪◆",
        "b             ··█×█",
        "blocks in use ▃▅▇█▃",
    ]


def test_the_run_is_told_in_one_line():
    text = " ".join(lines(RUN))
    assert "5 steps, 7 tokens out in 0.05 s" in text and "16 from the prefix cache" in text
    assert "at most 4 of 4 blocks, 1 preemption" in text and "× preempted" in text


def test_a_long_run_is_broken_into_panels_that_leave_out_who_is_not_there():
    steps = [step(i, decode("a")) for i in range(100)] + [step(i, decode("b")) for i in range(100, 130)]
    shown = lines(steps)
    assert [line.split()[1] for line in shown if line.startswith("step")] == ["0", "50", "90"]
    assert max(map(len, shown)) <= 60
    last = shown[[i for i, line in enumerate(shown) if line.startswith("step")][-1] :]
    assert any(line.startswith("b") for line in last)


def test_samples_of_one_request_are_told_apart():
    shown = lines([step(0, prefill("a")), step(1, decode("a"), decode("a", sample=1))])
    assert [line.split()[0:2] for line in shown[1:3]] == [["a", "[0]"], ["a", "[1]"]]
