"""Tests on real database servers."""
