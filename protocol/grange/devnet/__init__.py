"""A private chain with a market on it, for trying things out and for tests."""
