"""A package of models, installed as public ones are."""
