variable "name" {
  description = "Prefix of all names"
  type        = string
}

variable "cidr" {
  description = "Addresses of the network, a /16"
  type        = string
}

variable "zones" {
  description = "Letters of two availability zones"
  type        = list(string)
}
