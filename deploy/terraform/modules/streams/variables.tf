variable "name" {
  description = "Prefix of all names"
  type        = string
}

variable "sinks" {
  description = "What changes are published to: any of kinesis, sqs, sns, eventbridge, dynamodb"
  type        = set(string)
}

variable "push" {
  description = "Tell a queue what lands below landing/, and make a stream that feeds may be pushed to"
  type = object({
    queue  = bool
    stream = bool
  })
}

variable "shards" {
  description = "Shards of each stream of Kinesis: 1 MB and 1,000 records a second each"
  type        = number
}

variable "recovery" {
  description = "Keep backups of the table of DynamoDB: off, as it holds one day that is published anew"
  type        = bool
}

variable "bucket" {
  description = "Bucket of the lake"
  type        = string
}

variable "bucket_arn" {
  description = "ARN of the bucket of the lake"
  type        = string
}

variable "account" {
  description = "Account of the bucket"
  type        = string
}
