"""Measurements that you can repeat."""
