"""Hosts at a distance: real sshd processes, each with an /etc of its own."""
