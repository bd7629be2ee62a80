"""Reports of progress in a process that was forked."""

import os

from deepaas import progress


def test_a_forked_child_reports_nothing(tmp_path):
    batches = []
    with progress.recorded(batches.append):
        child = os.fork()
        if child == 0:
            progress.forget()
            progress.report(1)
            os._exit(len(batches))
        assert os.waitpid(child, 0)[1] == 0
    assert batches == []
