"""What `python -m gencourse` does: one module a command."""
