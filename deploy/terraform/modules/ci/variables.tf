variable "project" {
  description = "Begins all names, as in the environments"
  type        = string
}

variable "account" {
  description = "Account"
  type        = string
}

variable "region" {
  description = "Region"
  type        = string
}

variable "state_bucket" {
  description = "Bucket of Terraform's states"
  type        = string
}

variable "github" {
  description = "Repository of GitHub whose workflows may deploy, as owner/name; empty for none"
  type        = string
}

variable "github_provider" {
  description = "Make the account's OIDC provider for GitHub; an account has one"
  type        = bool
}

variable "environments" {
  description = "Environments that may be deployed; each has a role of its own"
  type        = set(string)
}

variable "pipeline" {
  description = "Make a CodePipeline, with this connection and repository; null for none"
  type = object({
    connection_arn = string
    repository     = string
    branch         = string
    # With a shell and Terraform, for arm64.
    terraform_image = string
  })
}
