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

output "rolling" {
  description = "How a new version replaces an old one"
  value = {
    minimum      = aws_ecs_service.dagster.deployment_minimum_healthy_percent
    maximum      = aws_ecs_service.dagster.deployment_maximum_percent
    stop_timeout = one(distinct([for each in local.dagster : each.stopTimeout]))
  }
}

output "rolling_serve" {
  description = "The same of serve where it has a service of its own; else null"
  value = one([for each in aws_ecs_service.serve : {
    minimum = each.deployment_minimum_healthy_percent
    maximum = each.deployment_maximum_percent
  }])
}

output "read_only" {
  description = "Containers of Dagster's task with a file system that cannot be written"
  value       = toset([for each in local.dagster : each.name if each.readonlyRootFilesystem])
}
