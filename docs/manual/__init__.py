"""The manual page and the data for completion: made when the package is built, and not a part of it."""
