"""The command line, `pellucid COMMAND`: a file for each kind of commands."""

from pellucid.cli.app import app, main

__all__ = ["app", "main"]
