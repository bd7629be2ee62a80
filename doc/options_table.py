"""The directive `deepaas-options`: a table of the options for each of their groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from oslo_config import cfg
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from deepaas.config import GROUPS, SETTINGS


class OptionTables(SphinxDirective):
    """Writes the tables as Markdown, and has them read as a part of the page."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each group."""
        sections: list[nodes.Node] = []
        for group, description in GROUPS.items():
            section = nodes.section(ids=[nodes.make_id(group)])
            section += nodes.title(text=group.capitalize())
            lines = [f"{description[:1].upper()}{description[1:]}.", "", *_table(group)]
            self.state.nested_parse(StringList(lines), self.content_offset, section)
            sections.append(section)
        return sections


def _table(group: str) -> Iterator[str]:
    yield "| option | default | |"
    yield "|---|---|---|"
    for setting in SETTINGS:
        option = setting.option
        if setting.group == group and not option.deprecated_for_removal:
            help = (option.help or "").replace("|", "\\|")
            yield f"| {_name(option)} | {_default(option)} | {help} |"


def _name(option: cfg.Opt) -> str:
    short = f"`-{option.short}`, " if option.short else ""
    value = "" if isinstance(option, cfg.BoolOpt) else f" {option.metavar or 'VALUE'}"
    return f"{short}`--{option.name}{value}`"


def _default(option: cfg.Opt) -> str:
    if isinstance(option, cfg.BoolOpt):
        return "on" if option.default else "off"
    return "" if option.default in (None, "", []) else f"`{option.default}`"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive to Sphinx."""
    app.add_directive("deepaas-options", OptionTables)
    return {"parallel_read_safe": True}
