"""What bodies that do not write text do for a person: embed, classify, fill in the masked word."""
