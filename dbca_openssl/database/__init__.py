"""The servers' side: option files, accounts, replication, and what a server that runs really does."""
