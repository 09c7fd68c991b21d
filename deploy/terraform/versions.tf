terraform {
  required_version = ">= 1.10"

  # Exact, in place of a lock file: that holds sums for the platform it was made on.
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Bucket, key and region of the state are given by deploy.py: one key for each environment.
  backend "s3" {}
}

provider "aws" {
  region = var.region

  default_tags {
    tags = local.tags
  }
}

# WAF's rules for CloudFront live there.
provider "aws" {
  alias  = "us_east_1"
  region = "us-east-1"

  default_tags {
    tags = local.tags
  }
}
