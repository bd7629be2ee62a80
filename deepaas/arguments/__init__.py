"""The arguments of a model's methods: what the author declared, and their loading."""

from deepaas.arguments.definition import Argument, DeclaredArgument
from deepaas.arguments.loading import Arguments
from deepaas.arguments.redaction import HIDDEN

__all__ = ["HIDDEN", "Argument", "Arguments", "DeclaredArgument"]
