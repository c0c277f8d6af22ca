"""The Edit page's parts."""
