"""Games: normal form, public goods, and the Donor Game."""
