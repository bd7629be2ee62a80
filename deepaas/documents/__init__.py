"""The JSON Schemas of what an author declared: written where the model is loaded.

The server puts them into its documents. It never sees the author's own classes.
"""
