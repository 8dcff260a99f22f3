"""What a network is, found from outside by running it: its sizes, value range, reach and halo."""
