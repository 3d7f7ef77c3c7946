"""The society floor: composes worlds and minds, loops, selects, records, shows."""
