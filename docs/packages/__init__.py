"""What the tool is handed out as, beside the wheel: one file that runs by itself, and a Debian package of it."""
