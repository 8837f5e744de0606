"""The replicated application of one partition of one tenant: sessions, subscriptions, retained messages, exchanges.

Drive it with `state.BrokerState.apply(index, data, decoded)` and hand its `Effects` to the edges; nothing else changes
it. It never knows which tenant it serves, who a client is, what a socket or a leader is, or what time it really is.
"""
