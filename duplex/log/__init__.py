"""Reading transcripts: `duplex log`."""
