variable "name" {
  description = "Prefix of all names"
  type        = string
}

variable "image" {
  description = "Image in ECR with awslambdaric and flood_assets.functions, for arm64"
  type        = string
}

variable "environment" {
  description = "Settings of the product: FLOOD_LAKE_URL and others"
  type        = map(string)
}

variable "lake_policies" {
  description = "What may be done with the lake, as policies by name: write, cursors, serve"
  type        = map(string)
}

variable "stream_policies" {
  description = "What may be done with streams, as policies by name: publish, landing, landing-stream"
  type        = map(string)
}

variable "publishes" {
  description = "Publish changes after each refresh"
  type        = bool
}

variable "sinks" {
  description = "Some of what is published to is AWS's"
  type        = bool
}

variable "landing_queue" {
  description = "ARN of the queue of what lands; null without one"
  type        = string
}

variable "landing_stream" {
  description = "ARNs of the stream that feeds are pushed to, and of the queue of its dead records; null without one"
  type = object({
    arn  = string
    dead = string
  })
}

variable "push" {
  description = "Which of both there are"
  type = object({
    queue  = bool
    stream = bool
  })
}

variable "memory" {
  description = "Memory [MB], and with it the share of a CPU: 1,769 MB are one"
  type        = number
}

variable "answers" {
  description = "Answers of the API at the same time"
  type        = number
}

variable "log_days" {
  description = "How long logs are kept"
  type        = number
}
