"""Large populations: worlds whose people meet along a social graph, up to a million of them."""
