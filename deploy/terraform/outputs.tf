output "lake" {
  description = "FLOOD_LAKE_URL"
  value       = module.lake.url
}

output "url" {
  description = "Where readers ask; null without an edge"
  value       = one(module.edge[*].url)
}

output "publish" {
  description = "FLOOD_PUBLISH"
  value       = lookup(local.settings, "FLOOD_PUBLISH", "")
}

output "landing_queue" {
  description = "FLOOD_LANDING_QUEUE; null without such a queue"
  value       = try(module.streams.landing_queue.url, null)
}

output "database" {
  description = "Database of Glue"
  value       = module.catalog.database
}

output "workgroup" {
  description = "Workgroup of Athena"
  value       = module.catalog.workgroup
}

output "runs_on" {
  description = "Cluster, machine or functions"
  value       = try(module.ecs[0].cluster, module.ec2[0].instance.id, module.lambda[0].functions)
}

output "alarms" {
  description = "Names of the alarms"
  value       = try(module.alarms[0].names, [])
}

output "image" {
  description = "What runs; deploy.py takes it where none is given"
  value       = var.image
}
