"""Annotate a folder without a database: what the `annotate` command does."""
