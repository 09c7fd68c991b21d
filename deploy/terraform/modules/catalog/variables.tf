variable "name" {
  description = "Prefix of all names; the database has it with underscores"
  type        = string
}

variable "bucket" {
  description = "Bucket of the lake"
  type        = string
}

variable "scratch" {
  description = "Bucket of Athena's answers"
  type        = string
}

variable "workgroup" {
  description = "Make a workgroup and named queries for Athena"
  type        = bool
}

variable "scan_limit_mb" {
  description = "Megabytes that a query may scan; the whole lake has some 15"
  type        = number
}

variable "shards" {
  description = "Names of the shards below the bucket, in the order of the network's file; none for a lake without shards"
  type        = list(string)
  default     = []
}

variable "leading" {
  description = "Of the shards, those that list flood warnings and flood areas: the first of each API; none for the first"
  type        = list(string)
  default     = []
}
