"""Scripts that let a shell complete the options of a command."""

import argparse
import sys
from typing import Any, NoReturn

SHELLS = ("bash", "zsh", "tcsh")
"""The shells for which there is such a script."""

FILES = ("config_file", "output", "auth_token_file", "tls_cert", "tls_key")
"""Options whose values are files."""

FLAG = "--print-completion"

HELP = "Print a script that completes the options of this command, and exit."


class PrintCompletion(argparse.Action):
    """Prints the script for a shell, and exits."""

    def __init__(self, **details: Any) -> None:
        super().__init__(
            **{**details, "choices": SHELLS, "metavar": "SHELL", "help": HELP}
        )

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> NoReturn:
        """Print the script to where the parser prints its help."""
        parser._print_message(completion_script(parser, values), sys.stdout)
        parser.exit()


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for a shell."""
    import shtab  # 20 ms

    for action in parser._actions:
        if action.dest in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        if commands := getattr(action, "commands", None):  # hidden from the help
            action.choices, action.help = commands, "command"
    return shtab.complete(parser, shell=shell)
