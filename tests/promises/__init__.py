"""Tests of the three promises: the same bytes, nothing lost, nothing hidden; and of what attackers try."""
