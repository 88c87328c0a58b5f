"""Tests that hold README and docs to the code."""
