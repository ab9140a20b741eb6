"""The log survives a kill: what it will write again is dropped, a line cut short is not one."""

import sys

from pellucid.training import record


def test_a_resumed_run_writes_each_step_once(tmp_path):
    with record.Record(tmp_path, 0, 10) as first:
        for step in range(6):
            first.step(step, loss=6.0 - step, tokens=10)
    with (tmp_path / record.LOG).open("a") as file:
        file.write('{"step": 6, "lo')
    with record.Record(tmp_path, 4, 10) as second:
        second.step(4, loss=1.0, tokens=10)
    assert [line["step"] for line in record.read(tmp_path)] == [0, 1, 2, 3, 4]
    assert record.plot(tmp_path).read_bytes().startswith(b"\x89PNG")


def test_a_damaged_line_is_passed_over(tmp_path):
    (tmp_path / record.LOG).write_text(
        '{"step": 0, "loss": 2.0}\n{"step": 1, "lo\0\n{"step": 2, "loss": 1.0}\n'
    )
    assert [line["step"] for line in record.read(tmp_path)] == [0, 2]


def test_without_matplotlib_there_is_a_word_and_no_plot(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert record.plot(tmp_path) is None
    assert "pip install 'pellucid[train]'" in capsys.readouterr().out
