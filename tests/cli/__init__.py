"""Tests of the command line: options, output, help."""
