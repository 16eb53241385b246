"""Composition: parses arguments, makes the parts, hands them to each other. Knows all."""
