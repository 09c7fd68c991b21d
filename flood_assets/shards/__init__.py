"""Fill the shards of a network: `opening` gives the steps of a tick what they need for one of them.

`work` takes these steps for one shard, `outcome` attempts it, and `fan` has it done for many: in this process, or by
`cluster` on Dask. `whole` asks a whole network. `change` and what it imports change over to other shards.
"""
