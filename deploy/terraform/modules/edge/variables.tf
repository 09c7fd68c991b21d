variable "name" {
  description = "Prefix of all names"
  type        = string
}

variable "kind" {
  description = "gateway for an API Gateway, cdn for CloudFront"
  type        = string
}

variable "compute" {
  description = "What is behind it: ecs, ec2 or lambda"
  type        = string
}

variable "network" {
  description = "Network of ecs and ec2; null for lambda"
  type = object({
    vpc_id         = string
    public_subnets = list(string)
    app_group      = string
  })
}

variable "service_arn" {
  description = "Service of Cloud Map that serve is registered with; null for lambda"
  type        = string
}

variable "function" {
  description = "Function that answers; null for ecs and ec2"
  type = object({
    name       = string
    invoke_arn = string
    url_host   = string
  })
}

variable "instance" {
  description = "Machine that answers; null for ecs and lambda"
  type = object({
    arn  = string
    host = string
  })
}

variable "throttle" {
  description = "Requests a second that the gateway takes, and at once"
  type = object({
    rate  = number
    burst = number
  })
}

variable "waf" {
  description = "Before CloudFront: requests of one address in five minutes; 0 for no firewall"
  type        = number
}

variable "log_days" {
  description = "How long logs are kept"
  type        = number
}
