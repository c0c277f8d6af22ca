"""Assistance while labelling: point at an object, guess a label, teach by example."""
