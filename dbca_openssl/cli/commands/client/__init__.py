"""The verbs of `dbca-openssl client`: each has a module of its name, with a function of its name."""
