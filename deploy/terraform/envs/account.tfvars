# What `make deploy ENV=account` is given: the defaults, unless you name a repository or a pipeline.
