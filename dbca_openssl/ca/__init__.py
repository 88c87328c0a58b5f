"""The CA directory: what is in it, and everything that is done with it."""
