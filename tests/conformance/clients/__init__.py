"""Clients that people use, each against a real broker: one file of scenarios, one driver a client, one table at the end."""
