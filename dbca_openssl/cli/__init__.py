"""The command `dbca-openssl`: parse, call, print. `main` runs it, `commands/VERB.py` is a verb."""
