output "database" {
  value = aws_glue_catalog_database.this.name
}

output "workgroup" {
  value = one(aws_athena_workgroup.this[*].name)
}
