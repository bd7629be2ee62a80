"""Tensors of the Open Inference Protocol, without HTTP and without numpy."""
