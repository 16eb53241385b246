"""What a room says and is told, made and parsed side by side."""
