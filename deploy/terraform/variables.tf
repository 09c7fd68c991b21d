variable "environment" {
  description = "dev, qa, staging or prod"
  type        = string

  validation {
    condition     = contains(["dev", "qa", "staging", "prod"], var.environment)
    error_message = "environment is '${var.environment}': expected dev, qa, staging or prod."
  }
}

variable "project" {
  description = "Begins all names; change it for a second installation in one account"
  type        = string
  default     = "flood"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,11}$", var.project))
    error_message = "project is '${var.project}': expected 2 to 12 small letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of everything"
  type        = string
  default     = "eu-west-2"
}

variable "image" {
  description = "Image to run, with its digest or an immutable tag, for arm64"
  type        = string
}

variable "compute" {
  description = "ecs: a task with Dagster's UI and Postgres. ec2: a machine with Dagster's UI. lambda: functions without Dagster"
  type        = string
  default     = "ecs"

  validation {
    condition     = contains(["ecs", "ec2", "lambda"], var.compute)
    error_message = "compute is '${var.compute}': expected ecs, ec2 or lambda."
  }
}

variable "task" {
  description = "CPU units and memory [MB] of Dagster's task of ecs; functions of lambda have the memory"
  type = object({
    cpu    = number
    memory = number
  })
  default = { cpu = 512, memory = 2048 }
}

variable "instance_type" {
  description = "Machine of ec2"
  type        = string
  default     = "t4g.small"
}

variable "serve_tasks" {
  description = "ecs: 0 for serve inside Dagster's task; else tasks of a service of its own, replaced without a gap"
  type        = number
  default     = 0
}

variable "run_tasks" {
  description = "ecs: a task for each run, in place of a process in Dagster's own task"
  type        = bool
  default     = false
}

variable "database" {
  description = "ecs: Postgres of Dagster's records. protected: no deletion without a last snapshot"
  type = object({
    class      = optional(string, "db.t4g.micro")
    storage_gb = optional(number, 20)
    multi_az   = optional(bool, false)
    replica    = optional(bool, false)
    protected  = optional(bool, false)
    keep_days  = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.database.keep_days >= 1
    error_message = "database.keep_days is ${var.database.keep_days}: expected at least 1, the days of backups."
  }

  validation {
    condition     = !(var.database.replica && var.off_at_night)
    error_message = "RDS stops no database with a replica: set database.replica or off_at_night to false."
  }
}

variable "sinks" {
  description = "What changes are published to: any of kinesis, sqs, sns, eventbridge, dynamodb"
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.sinks, ["kinesis", "sqs", "sns", "eventbridge", "dynamodb"])) == 0
    error_message = "sinks are any of kinesis, sqs, sns, eventbridge and dynamodb."
  }
}

variable "webhooks" {
  description = "More URLs for FLOOD_PUBLISH, such as https://example.org/hook"
  type        = list(string)
  default     = []
}

variable "push" {
  description = "queue: S3 tells a queue of what lands. stream: a stream of Kinesis that feeds are pushed to (lambda)"
  type = object({
    queue  = optional(bool, false)
    stream = optional(bool, false)
  })
  default = {}
}

variable "shards" {
  description = "Shards of each stream of Kinesis"
  type        = number
  default     = 1
}

variable "edge" {
  description = "none: nobody but the owner reads. gateway: API Gateway. cdn: CloudFront"
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "gateway", "cdn"], var.edge)
    error_message = "edge is '${var.edge}': expected none, gateway or cdn."
  }
}

variable "throttle" {
  description = "Requests a second that the gateway takes, and at once"
  type = object({
    rate  = number
    burst = number
  })
  default = { rate = 50, burst = 100 }
}

variable "waf" {
  description = "Before CloudFront: requests of one address in five minutes; 0 for no firewall"
  type        = number
  default     = 0
}

variable "athena" {
  description = "Make a workgroup and named queries for Athena"
  type        = bool
  default     = true
}

variable "lake_shards" {
  description = "Names of the shards of the lake, for the tables of the catalog; none for a lake without shards"
  type        = list(string)
  default     = []
}

variable "lake_shards_leading" {
  description = "Of these, the first of each API, which lists flood warnings; none for the first of all"
  type        = list(string)
  default     = []
}

variable "archive" {
  description = "Keep one file a day below archive/, in this class and for so many days; null to keep nothing"
  type = object({
    storage_class = optional(string, "GLACIER")
    keep_days     = optional(number, 3650)
  })
  default = null
}

variable "alarms" {
  description = "Watch it, and tell somebody"
  type        = bool
  default     = true
}

variable "alarm_emails" {
  description = "Who is told"
  type        = set(string)
  default     = []
}

variable "budget_usd" {
  description = "Dollars a month that somebody is told of when they are forecast; 0 for no budget"
  type        = number
  default     = 0
}

variable "off_at_night" {
  description = "Run from 7 to 19 o'clock on working days, London's time; not for lambda, which costs nothing idle"
  type        = bool
  default     = false
}

variable "force_destroy" {
  description = "`make destroy` deletes the lake with all that is in it"
  type        = bool
  default     = false
}

variable "log_days" {
  description = "How long logs are kept"
  type        = number
  default     = 14
}

variable "cidr" {
  description = "Addresses of the network, a /16"
  type        = string
  default     = "10.42.0.0/16"
}

variable "zones" {
  description = "Letters of two availability zones of the region"
  type        = list(string)
  default     = ["a", "b"]
}

variable "settings" {
  description = "More settings of the product, such as FLOOD_API_URL"
  type        = map(string)
  default     = {}
}
