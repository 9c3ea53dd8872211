"""Small things that every folder may use."""
