"""Requests: their bodies, their uploads, and where an argument's value is found."""
