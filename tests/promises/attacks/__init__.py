"""What attackers try, a table for each place: it is refused or shown harmless, and nothing on disk has changed."""
