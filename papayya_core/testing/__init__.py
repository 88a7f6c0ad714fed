"""Fixtures and suites for tests, of Papayya and of those who build on it."""
