"""Drivers: where clocks, sockets, files, certificates and HTTP live.

A driver feeds what happened into `Inputs`, calls `turn`, and carries out `Outputs`. Nothing here decides about MQTT or
Raft. `runtime.run(config)` is the front door; `reactor.Reactor` is the loop around one node.
"""
