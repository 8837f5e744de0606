"""Quantum: a multi-tenant MQTT broker whose acknowledgements are true."""

__version__ = "0.1.0"
