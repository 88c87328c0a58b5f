"""The verbs of `dbca-openssl server`: each has a module of its name, with a function of its name."""
