"""Tests of the CA directory and what is done with it, on real openssl."""
