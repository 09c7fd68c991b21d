variable "name" {
  description = "Prefix of all names"
  type        = string
}

variable "image" {
  description = "Image with dagster, dagster-daemon, dagster-webserver and flood-assets on its PATH, for arm64"
  type        = string
}

variable "environment" {
  description = "Settings of the product: FLOOD_LAKE_URL and others"
  type        = map(string)
}

variable "policies" {
  description = "What the machine may do, as policies by name"
  type        = map(string)
}

variable "network" {
  description = "Where it runs"
  type = object({
    public_subnets = list(string)
    app_group      = string
  })
}

variable "instance_type" {
  description = "A machine with Graviton; 2 GB are enough"
  type        = string
}

variable "disk_gb" {
  description = "Disk: the system, the image and Dagster's records"
  type        = number
}

variable "service_id" {
  description = "Service of Cloud Map that serve is registered with; null without a gateway"
  type        = string
}

variable "registered" {
  description = "There is such a service"
  type        = bool
}

variable "off_at_night" {
  description = "Stop the machine outside working hours"
  type        = bool
}

variable "log_days" {
  description = "How long logs are kept"
  type        = number
}
