"""The models of the benchmark; `work` is what they compute, on any server."""
