# What an account has once, whatever environments it holds: `make deploy ENV=account`.

variable "project" {
  description = "Begins all names, as in the environments"
  type        = string
  default     = "flood"
}

variable "region" {
  description = "Region of everything"
  type        = string
  default     = "eu-west-2"
}

variable "state_bucket" {
  description = "Bucket of Terraform's states"
  type        = string
}

variable "github" {
  description = "Repository of GitHub whose workflows may deploy, as owner/name; empty for none"
  type        = string
  default     = ""
}

variable "github_provider" {
  description = "Make the account's OIDC provider for GitHub; false where the account has one"
  type        = bool
  default     = true
}

variable "environments" {
  description = "Environments of this account"
  type        = set(string)
  default     = ["dev", "qa", "staging", "prod"]
}

variable "pipeline" {
  description = "Make a CodePipeline, with this connection and repository"
  type = object({
    connection_arn  = string
    repository      = string
    branch          = optional(string, "main")
    terraform_image = optional(string, "public.ecr.aws/hashicorp/terraform:1.11")
  })
  default = null
}

data "aws_caller_identity" "me" {}

module "ci" {
  source          = "../modules/ci"
  project         = var.project
  account         = data.aws_caller_identity.me.account_id
  region          = var.region
  state_bucket    = var.state_bucket
  github          = var.github
  github_provider = var.github_provider
  environments    = var.environments
  pipeline        = var.pipeline
}

output "repository" {
  description = "Where images are pushed to"
  value       = module.ci.repository
}

output "roles" {
  description = "Roles that GitHub's workflows assume"
  value       = module.ci.roles
}
