"""The contract's assertions are explained as those of a test file are."""

import pytest

pytest.register_assert_rewrite("tests.integration.executors.contract")
