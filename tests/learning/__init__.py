"""Tests of imagebase.learning."""
