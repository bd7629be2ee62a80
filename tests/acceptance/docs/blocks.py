"""The code blocks of a page: found, run in order, and compared with the page.

A page is Markdown. A comment right before a block says how to treat it:

    <!-- file: model.py -->             save it under this name (`+=` appends)
    <!-- not run: it needs a GPU -->    leave it out, for this reason
    <!-- exit: 1 -->                    the command ends with this code

Without a comment, the language decides: `sh` is run by bash, `python` by Python,
`javascript` by node. A block of `text` or `json` after one that was run is its output.
In output, `...` stands for any text. `deepaas-run` is started in the background.

A comment `<!-- page: ... -->` has settings of a page, separated by semicolons:
`copy PATH` (of the repository), `env NAME=VALUE`, `errors expected`, `serve OPTIONS`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from markdown_it import MarkdownIt

from tests.server import ROOT, Server, wait_until

COMMAND_TIMEOUT = 100.0
START_TIMEOUT = 120.0  # several models at once, one of them with torch
SERVER_TIMEOUT = 60.0
OUTPUT_LANGUAGES = {"text", "json"}
COMMENT = re.compile(r"<!--\s*(file|not run|exit|page)\s*:\s*(.*?)\s*-->\s*", re.DOTALL)
DEFAULT_PORT = "5000"
KUBERNETES = "1.30"
"""The version whose schemas manifests have to fit."""

PIP = f"""\
#!/bin/sh -e
# pip for the package in this folder: offline, in place, for the commands of this page
[ "$*" = "install -e ." ]
{sys.executable} -c 'import setuptools; setuptools.setup()' --quiet egg_info
ln -sfn "$PWD"/* "$PAGE_SITE"
"""


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str]
    """The text of the comment before it."""

    @property
    def place(self) -> str:
        """Return where a reader finds it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class BlockFailed(AssertionError):
    """A block does not do what its page says."""


def find_blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, indented ones too, in their order."""
    marks: dict[str, str] = {}
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "html_block":
            marks = dict(COMMENT.findall(token.content))
        elif token.type in ("fence", "code_block"):
            assert token.map is not None
            language = (token.info.split() or [""])[0]
            if not language.startswith("{"):  # a directive of MyST
                yield Block(page, token.map[0] + 1, language, token.content, marks)
            marks = {}
        else:
            marks = {}


def page_settings(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the settings of a page: their first word, and the rest."""
    for mark, text in COMMENT.findall(page.read_text()):
        if mark == "page":
            for setting in text.split(";"):
                word, _, rest = " ".join(setting.split()).partition(" ")
                yield word, rest


@dataclass
class PageRun:
    """Runs the blocks of one page in a folder of their own."""

    page: Path
    directory: Path
    """Has the folder of the page, and those that its commands take for home and tmp."""
    servers: dict[str, Server] = field(default_factory=dict)
    """The servers that run, by the port that the page names."""
    _env: dict[str, str] = field(default_factory=dict)
    _errors_expected: bool = False
    _output: Callable[[], str] | None = None
    """Gives the output of the block that ran last, until it is compared."""

    def __post_init__(self) -> None:
        self._cwd = self.directory / "page"
        for folder in "page", "home", "tmp", "site", "bin":
            (self.directory / folder).mkdir()
        (self._cwd / "examples").symlink_to(ROOT / "examples")
        (self.directory / "home" / ".curlrc").write_text("silent\nshow-error\n")
        pip = self.directory / "bin" / "pip"
        pip.write_text(PIP)
        pip.chmod(0o755)
        self._env = self._environment()
        self._apply_settings()

    def _apply_settings(self) -> None:
        for word, rest in page_settings(self.page):
            if word == "serve":
                block = Block(self.page, 1, "sh", f"deepaas-run {rest}", {})
                self._start(block, shlex.split(block.text))
            elif word == "copy":
                shutil.copy(ROOT / rest, self._cwd)
            elif word == "env":
                name, _, value = rest.partition("=")
                self._env[name] = value
            else:
                assert (word, rest) == ("errors", "expected"), (word, rest)
                self._errors_expected = True

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DEEPAAS_", "OS_", "PYTEST_"))
        }
        programs = [self.directory / "bin", Path(sys.executable).parent, kept["PATH"]]
        site = str(self.directory / "site")
        return kept | {
            "HOME": str(self.directory / "home"),
            "TMPDIR": str(self.directory / "tmp"),
            "PATH": os.pathsep.join(map(str, programs)),
            "PYTHONPATH": site,
            "PAGE_SITE": site,
            "PYTHONDONTWRITEBYTECODE": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(self.directory / "home" / "torch"),
            # matplotlib takes half a minute to look for fonts in a new folder
            "MPLCONFIGDIR": str(Path("~/.cache/matplotlib").expanduser()),
        }

    # One block

    def run(self, block: Block) -> None:
        """Save, run, check or compare a block. Raises BlockFailed."""
        if "not run" in block.marks:
            assert len(block.marks["not run"]) > 10, f"{block.place}: no reason"
            self._output = None
        elif "file" in block.marks:
            self._save(block)
            self._output = None
        elif block.language in OUTPUT_LANGUAGES and self._output is not None:
            self._compare(block)
        elif block.language in RUNNERS:
            RUNNERS[block.language](self, block)
        else:
            raise BlockFailed(f"{block.place}: not run, saved or compared")

    def _save(self, block: Block) -> None:
        name, _, mode = block.marks["file"].partition(" ")
        path = self._cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if mode == "+=" else "w") as file:
            file.write(self._with_ports(block.text))
        check = CHECKS.get(path.suffix, CHECKS.get(path.name))
        if check is not None:
            try:
                check(path)
            except Exception as error:
                raise BlockFailed(f"{block.place}: {error!r}") from error

    def _compare(self, block: Block) -> None:
        output = self._output
        assert output is not None

        def fits() -> bool:
            return matches(block.text, self._as_printed(output()))

        with contextlib.suppress(AssertionError):
            wait_until(fits, SERVER_TIMEOUT if self._lasts else 0.1)
        if not fits():
            raise BlockFailed(
                f"{block.place}: the page prints\n{block.text}\nbut it was\n"
                f"{self._as_printed(output())}"
            )
        self._output = None

    _lasts = False
    """The output may still grow: it is that of a server."""

    # Commands

    def run_shell(self, block: Block) -> None:
        """Run commands with bash, or start a server."""
        text = block.text.replace("\\\n", " ")
        words = shlex.split(text, comments=True)
        if "exit" not in block.marks and _starts_server(words):
            self._start(block, words)
        else:
            script = _remembering(self._with_ports(block.text))
            self._execute(block, ["bash", "-c", script])
            self._remember()

    def _start(self, block: Block, words: list[str]) -> None:
        # the server has a TMPDIR of its own, in which it may leave nothing
        env = {name: value for name, value in self._env.items() if name != "TMPDIR"}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            env[name] = value
        words = words[words.index("deepaas-run") + 1 :]
        port = DEFAULT_PORT
        if "--listen-port" in words:
            at = words.index("--listen-port")
            port = words[at + 1]
            del words[at : at + 2]
        self.stop(port)
        folder = self.directory / f"server-{len(list(self.directory.iterdir()))}"
        try:
            server = Server(
                *words,
                directory=folder,
                cwd=self._cwd,
                env=env,
                errors_expected=self._errors_expected,
                start_timeout=START_TIMEOUT,
            )
        except AssertionError as error:
            raise BlockFailed(f"{block.place}: {error}") from None
        self.servers[port] = server
        self._output, self._lasts = lambda: server.output, True

    def stop(self, port: str) -> list[str]:
        """Stop the server at a port, if there is one, and return what it left."""
        server = self.servers.pop(port, None)
        return [] if server is None else server.close()

    def run_python(self, block: Block) -> None:
        """Run a script with Python."""
        self._execute(block, [sys.executable, "-c", self._with_ports(block.text)])

    def run_javascript(self, block: Block) -> None:
        """Run a module with node."""
        options = ["--input-type=module", "--no-warnings", "-e"]
        self._execute(block, ["node", *options, self._with_ports(block.text)])

    def _execute(self, block: Block, command: list[str]) -> None:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._cwd,
            env=self._env | {"PAGE_STATE": str(self.directory / "state")},
            text=True,
            errors="backslashreplace",
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
        expected = int(block.marks.get("exit", 0))
        if done.returncode != expected:
            servers = "\n".join(server.output for server in self.servers.values())
            raise BlockFailed(
                f"{block.place}: exit {done.returncode}, not {expected}\n{done.stdout}"
                f"\n{servers}"
            )
        self._output, self._lasts = lambda: done.stdout, False

    def _remember(self) -> None:
        """Take over the folder and the variables that the commands have left."""
        folder, *variables = (self.directory / "state").read_bytes().split(b"\0")
        self._cwd = Path(folder.decode().removesuffix("\n"))
        pairs = (os.fsdecode(v).partition("=") for v in variables if v)
        self._env = {name: value for name, _, value in pairs if name != "PAGE_STATE"}

    # Addresses

    def _with_ports(self, text: str) -> str:
        for port, server in self.servers.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{server.port}")
        return text

    def _as_printed(self, text: str) -> str:
        for port, server in self.servers.items():
            text = text.replace(f":{server.port}", f":{port}")
        return text.replace(str(self._cwd), "/home/you")


def _starts_server(words: list[str]) -> bool:
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    one_off = {"--help", "--version", "|", "&&", "||", ">"}
    return words[:1] == ["deepaas-run"] and not one_off & {*words}


def _remembering(script: str) -> str:
    """Return a script that ends by writing down its folder and its variables."""
    return f"""set -ea
remember() {{ pwd; printf '\\0'; env -0; }}
trap 'remember > "$PAGE_STATE"' EXIT
{script}
"""


# Comparison


def matches(expected: str, output: str) -> bool:
    """Tell whether an output is what a page prints."""
    try:
        wanted = json.loads(expected)
        got = json.loads(output)
    except ValueError:
        return _texts_match(expected, output)
    return _values_match(wanted, got)


def _texts_match(expected: str, output: str) -> bool:
    parts = [re.escape(part) for part in _without_ends(expected).split("...")]
    pattern = ".*?".join(parts)
    return re.fullmatch(pattern, _without_ends(output), re.DOTALL) is not None


def _without_ends(text: str) -> str:
    """Return a text without spaces at the end of lines, and without empty ends."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def _values_match(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(
            _values_match(value, got[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(_values_match, wanted, got))
    if isinstance(wanted, float) and isinstance(got, int | float):
        # other releases of numpy and scikit-learn compute a little differently
        return math.isclose(wanted, got, rel_tol=1e-2, abs_tol=1e-2)
    if isinstance(wanted, str) and "..." in wanted:
        return _texts_match(wanted, got if isinstance(got, str) else json.dumps(got))
    return bool(wanted == got) and type(wanted) is type(got)


# Files


def _check_dockerfile(path: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, path], capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode:
        raise ValueError(done.stdout)


def _check_yaml(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        if "apiVersion" in document:  # of Kubernetes
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


# pytest brings tomli to Pythons that lack tomllib
_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

CHECKS: dict[str, Callable[[Path], object]] = {
    ".py": lambda path: compile(path.read_text(), str(path), "exec"),
    ".toml": lambda path: _toml.loads(path.read_text()),
    ".json": lambda path: json.loads(path.read_text()),
    ".yaml": _check_yaml,
    "Dockerfile": _check_dockerfile,
}
"""The check of a file, by its suffix or name."""

RUNNERS: dict[str, Callable[[PageRun, Block], None]] = {
    "sh": PageRun.run_shell,
    "python": PageRun.run_python,
    "javascript": PageRun.run_javascript,
}
"""The function that runs a block, by its language."""
