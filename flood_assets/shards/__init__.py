"""Fill the shards of a network: `opening` gives the steps of a tick what they need for one of them.

`work` takes these steps for one shard, `outcome` attempts it, and `fan` has it done for many: in this process, or by
`cluster` on Dask; `metrics` counts them together. `whole` asks a whole network.

`change` changes over to other shards: `filling` fills these, `owners` says to which of them a measure belongs, `carry`
and `beside` copy what old lakes hold, and `removal` deletes those. `states` lists shards, and `check` their measures.
"""
