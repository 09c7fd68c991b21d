output "instance" {
  description = "The machine, as the edge and the alarms name it"
  value = {
    id   = aws_instance.this.id
    arn  = aws_instance.this.arn
    host = aws_instance.this.private_dns
  }
}

output "user_data" {
  description = "What the machine does when it starts for the first time"
  value       = local.user_data
}
