variable "name" {
  description = "Prefix of all names"
  type        = string
}

variable "cidr" {
  description = "Addresses of the network, a /16"
  type        = string
}
