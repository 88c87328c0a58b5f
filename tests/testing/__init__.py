"""Tests of dbca_openssl.testing."""
