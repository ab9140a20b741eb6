"""The log survives a kill: what it will write again is dropped, a line cut short is not one."""

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
