"""The output of a worker is cut into lines, and none is lost."""

import asyncio
import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepaas.executors import Printed
from deepaas.executors.output import (
    HOST,
    MAX_LINE_BYTES,
    MIN_JOINED_LINES,
    LineSplitter,
    OutputReader,
    log_output,
)


@given(st.text(alphabet="ab\n", max_size=50), st.lists(st.integers(1, 10)))
def test_lines_do_not_depend_on_the_pieces(text, sizes):
    splitter = LineSplitter()
    data, sizes, lines = text.encode(), iter(sizes), []
    while data:
        count = next(sizes, len(data))
        lines += splitter.feed(data[:count])
        data = data[count:]
    lines += splitter.flush()
    assert lines == text.splitlines()
    assert splitter.flush() == []


def test_a_progress_bar_has_lines_too():
    assert LineSplitter().feed(b"10%\r20%\r\n\r30%\r") == ["10%", "20%", "30%"]


def test_a_line_that_does_not_end_is_cut():
    splitter = LineSplitter()
    lines = splitter.feed(b"x" * (2 * MAX_LINE_BYTES + 5))
    assert [len(line) for line in lines] == [MAX_LINE_BYTES, MAX_LINE_BYTES]
    assert splitter.flush() == ["xxxxx"]


def test_bytes_that_are_not_text_are_escaped():
    assert LineSplitter().feed(b"a\xffb\n") == ["a\\xffb"]


def test_a_reader_passes_on_what_was_only_begun():
    async def scenario():
        heard = []
        reading, writing = os.pipe()
        reader = OutputReader(reading, heard.append)
        reader.watch()
        os.write(writing, b"one\ntw")
        reader.read()
        reader.read()  # there is nothing
        assert heard == [["one"]]
        os.write(writing, b"o")
        reader.drain()
        assert heard == [["one"], [], ["two"]]
        os.write(writing, b"last")
        os.close(writing)
        reader.close()
        assert heard[3:] == [[], ["last"]]
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(reading)

    asyncio.run(scenario())


@pytest.mark.parametrize(("label", "mark"), [("a,b", "[m 7 a,b]"), ("", "[m 7]")])
def test_each_line_in_the_log_names_its_calls(caplog, label, mark):
    caplog.set_level(logging.INFO, "deepaas.executors.output")
    log_output(Printed("m", HOST, 7, label, ["one", "two"]))
    assert [r.getMessage() for r in caplog.records] == [f"{mark} one", f"{mark} two"]
    assert caplog.records[0].extra["request_id"] == label


def test_lines_of_another_machine_name_it(caplog):
    caplog.set_level("INFO", "deepaas.executors.output")
    log_output(Printed("m", "node", 7, "a", ["x"]))
    assert caplog.messages == ["[m 7@node a] x"]


def test_many_lines_share_a_record(caplog):
    caplog.set_level(logging.INFO, "deepaas.executors.output")
    log_output(Printed("m", HOST, 7, "", ["x"] * MIN_JOINED_LINES))
    [record] = caplog.records
    assert record.getMessage() == "\n".join(["[m 7] x"] * MIN_JOINED_LINES)
