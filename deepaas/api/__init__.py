"""HTTP: the only part of the server that knows of requests and responses."""
