"""Transcripts: record, text boundary, file, and reading. Knows no connection."""
