"""The Annotate page's parts."""
