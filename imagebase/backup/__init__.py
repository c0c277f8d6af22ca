"""A whole dataset in one zip, and back again."""
