"""A transformer engine you can see through: the flat, sorted public API."""

__version__ = "0.1.0"
