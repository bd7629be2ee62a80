"""The contract holds for an executor that is not made of processes."""

import pytest

from tests.integration.executors.contract import ExecutorContract
from tests.integration.executors.inline import inline_executor


class TestInline(ExecutorContract):
    isolated = False

    def make(self, ref, limits, workers):
        if workers > 1:
            pytest.skip("it has one slot")
        return inline_executor(ref, limits)
