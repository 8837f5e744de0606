"""Sessions and their exchanges, enumerated: every state against every event."""
