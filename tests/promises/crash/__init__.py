"""Kills, faults and full disks at every step: slow, make test-crash."""
