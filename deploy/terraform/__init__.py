"""Terraform for AWS, and the two scripts beside it: `catalog` writes the tables, `deploy` runs an environment."""
