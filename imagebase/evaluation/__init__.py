"""How good models are on reviewed labels, which is better, and where they fail."""
