"""The public API for model authors, version 2."""
