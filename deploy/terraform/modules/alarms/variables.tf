variable "name" {
  description = "Prefix of all names"
  type        = string
}

variable "emails" {
  description = "Who is told; each has to confirm the first mail"
  type        = set(string)
}

variable "account" {
  description = "Account whose alarms and budget may use the topic"
  type        = string
}

variable "budget_usd" {
  description = "Dollars a month that somebody is told of when they are forecast; 0 for no budget"
  type        = number
}

variable "publishes" {
  description = "There are sinks, which may fall behind"
  type        = bool
}

variable "compute" {
  description = "What runs: ecs, ec2 or lambda"
  type        = string
}

variable "watched" {
  description = "Names of what is watched, as far as it is there"
  type = object({
    cluster  = optional(string)
    database = optional(string)
    instance = optional(string)
    function = optional(string)
    gateway  = optional(string)
    landing  = optional(string)
  })
}

variable "has" {
  description = "Which of gateway and landing queue there are"
  type = object({
    gateway = bool
    landing = bool
  })
}

variable "dead_letters" {
  description = "Short names and names of queues in which nothing should be"
  type        = map(string)
}
