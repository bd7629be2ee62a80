"""The metadata of a model, read at its side."""

from __future__ import annotations

import logging

from deepaas.model.adapter import ModelAdapter
from deepaas.model.loading import ModelRef


def test_the_log_names_the_cause_that_a_model_wraps(tmp_path, caplog):
    """Public modules write `HTTPException(reason=error)`, which raises itself."""
    path = tmp_path / "wraps.py"
    path.write_text(
        "from aiohttp.web import HTTPException\n"
        "def get_metadata():\n"
        "    try:\n"
        "        open('/nothing/here')\n"
        "    except Exception as error:\n"
        "        raise HTTPException(reason=error) from error\n"
        "def predict(): pass\n"
    )
    adapter = ModelAdapter(ModelRef("wraps", str(path)))
    with caplog.at_level(logging.WARNING):
        assert adapter.read_metadata()["name"] == "wraps"
    assert "/nothing/here" in caplog.text
