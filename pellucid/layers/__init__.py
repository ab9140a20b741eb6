"""The building blocks of every transformer, one file each."""
