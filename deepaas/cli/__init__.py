"""The parts of deepaas-cli: a model's arguments, where it computes, its result."""
