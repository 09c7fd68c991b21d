variable "name" {
  description = "Prefix of all names"
  type        = string
}

variable "image" {
  description = "Image with dagster, dagster-daemon, dagster-webserver and flood-assets on its PATH"
  type        = string
}

variable "environment" {
  description = "Settings of the product: FLOOD_LAKE_URL and others"
  type        = map(string)
}

variable "policies" {
  description = "What the task may do, as policies by name"
  type        = map(string)
}

variable "serve_policy" {
  description = "What serve may do where it has a service of its own"
  type        = string
}

variable "network" {
  description = "Where it runs"
  type = object({
    vpc_id           = string
    public_subnets   = list(string)
    database_subnets = list(string)
    app_group        = string
    database_group   = string
  })
}

variable "size" {
  description = "CPU units and memory [MB] of the task, of serve where it has a service of its own, and of a run's own task"
  type = object({
    cpu    = number
    memory = number
  })
}

variable "scratch" {
  description = "Bucket of the logs of runs"
  type        = string
}

variable "serve_tasks" {
  description = "0 for serve inside Dagster's task; else tasks of a service of its own, replaced without a gap"
  type        = number
}

variable "run_tasks" {
  description = "Start a task for each run (EcsRunLauncher) in place of a process beside the code"
  type        = bool
}

variable "database" {
  description = "Postgres of Dagster's records"
  type = object({
    class      = string
    storage_gb = number
    multi_az   = bool
    replica    = bool
    protected  = bool
    keep_days  = number
  })
}

variable "service_arn" {
  description = "Service of Cloud Map that serve is registered with; null without an edge"
  type        = string
}

variable "off_at_night" {
  description = "Stop all outside working hours"
  type        = bool
}

variable "log_days" {
  description = "How long logs are kept"
  type        = number
}
