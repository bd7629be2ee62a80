"""A classifier of handwritten digits, served by deepaas."""
