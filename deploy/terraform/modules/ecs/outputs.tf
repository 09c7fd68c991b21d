output "cluster" {
  value = aws_ecs_cluster.this.name
}

output "database" {
  description = "Identifier of the database"
  value       = aws_db_instance.dagster.identifier
}

output "log_group" {
  value = aws_cloudwatch_log_group.this.name
}
