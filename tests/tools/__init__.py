"""What the tests work with: no tests."""
