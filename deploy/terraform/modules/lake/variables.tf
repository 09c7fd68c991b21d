variable "name" {
  description = "Prefix of all names"
  type        = string
}

variable "account" {
  description = "Account, which makes the names of buckets unique"
  type        = string
}

variable "force_destroy" {
  description = "Delete the buckets even if there are objects in them"
  type        = bool
}

variable "archive" {
  description = "Storage class of archive/ and how many days it is kept; null without an archive"
  type = object({
    storage_class = string
    keep_days     = number
  })
}
