"""The host's side, `/etc/mysql/ssl`: configuration, key and request."""
