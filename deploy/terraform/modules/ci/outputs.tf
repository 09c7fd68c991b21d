output "repository" {
  description = "Where images are pushed to"
  value       = aws_ecr_repository.this.repository_url
}

output "roles" {
  description = "Roles that GitHub's workflows assume, by environment; `image` pushes the image"
  value       = { for name, role in aws_iam_role.github : name => role.arn }
}
