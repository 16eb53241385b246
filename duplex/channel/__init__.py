"""Codecs and handshakes: what turns lines into bytes for the wire, and back."""
