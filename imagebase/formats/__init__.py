"""Annotation formats: one module each, reading and writing; the proof; the package."""
