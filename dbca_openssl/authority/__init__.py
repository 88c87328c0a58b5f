"""The authority's directory on the safe storage: the guide's commands, and everything that changes or reads it."""
