"""A private certificate authority for MariaDB and MySQL, by the real `openssl req` and `openssl ca`."""

__version__ = "0.1.0"
