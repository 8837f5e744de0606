"""Real clients against a real `quantum run` on real sockets of the loopback."""
