output "vpc_id" {
  value = aws_vpc.this.id
}

output "cidr" {
  value = aws_vpc.this.cidr_block
}

output "public_subnets" {
  value = aws_subnet.public[*].id
}

output "database_subnets" {
  value = aws_subnet.database[*].id
}

output "app_group" {
  description = "Security group of what runs"
  value       = aws_security_group.app.id
}

output "database_group" {
  description = "Security group of Postgres"
  value       = aws_security_group.database.id
}
