"""What is taken for a command's objection, beside a real complaint of a library."""

import io
import logging
import sys

import pytest

from tests.support.objections import nothing_but_objections, objections


def test_a_logger_whose_stream_is_closed_is_no_objection_and_all_else_counts(capsys):
    stream = io.StringIO()
    handler, logger = logging.StreamHandler(stream), logging.getLogger("tests.closed")
    logger.addHandler(handler)
    stream.close()
    print("imperv: one", file=sys.stderr)
    logger.error("thrown away: %s", "a\nb")
    print("imperv: two", file=sys.stderr)
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert nothing_but_objections(printed) == objections(printed) == ["imperv: one", "imperv: two"]
    with pytest.raises(AssertionError):
        nothing_but_objections(f"{printed}over two lines\n")
    with pytest.raises(AssertionError):
        nothing_but_objections("Traceback (most recent call last):\nimperv: one\n")
