"""The database servers: option files, accounts, replication, and checks of a running server."""
