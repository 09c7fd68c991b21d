"""Fill the shards of a network: `opening` gives the steps of a tick what they need for one of them."""
