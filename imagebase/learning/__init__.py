"""Learning from a dataset's boxes: taught models, and what to label next."""
