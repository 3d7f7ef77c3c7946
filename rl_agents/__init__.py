"""Array minds: scripted strategies, networks, and what trains them."""
