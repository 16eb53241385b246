"""Processes, sockets, privileges, the service manager, and errors. Knows nothing of talks."""
