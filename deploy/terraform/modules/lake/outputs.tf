locals {
  lake    = aws_s3_bucket.this["lake"].arn
  scratch = aws_s3_bucket.this["scratch"].arn

  read = [
    {
      Effect   = "Allow"
      Action   = ["s3:ListBucket", "s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"]
      Resource = local.lake
    },
    { Effect = "Allow", Action = ["s3:GetObject"], Resource = "${local.lake}/*" },
  ]
}

output "bucket" {
  value = aws_s3_bucket.this["lake"].id
}

output "bucket_arn" {
  value = local.lake
}

output "scratch" {
  value = aws_s3_bucket.this["scratch"].id
}

output "url" {
  description = "FLOOD_LAKE_URL"
  value       = "s3://${aws_s3_bucket.this["lake"].id}"
}

output "policies" {
  description = "What a role may do, as policies by name: write the lake, publish from it, serve it, keep logs of runs"
  value = {
    write = jsonencode({
      Version = "2012-10-17"
      Statement = concat(local.read, [
        { Effect = "Allow", Action = ["s3:PutObject", "s3:DeleteObject"], Resource = "${local.lake}/*" },
      ])
    })
    cursors = jsonencode({
      Version = "2012-10-17"
      Statement = concat(local.read, [
        { Effect = "Allow", Action = ["s3:PutObject", "s3:DeleteObject"], Resource = "${local.lake}/_published/*" },
      ])
    })
    serve = jsonencode({
      Version = "2012-10-17"
      Statement = concat(local.read, [
        { Effect = "Allow", Action = ["s3:PutObject"], Resource = "${local.lake}/landing/*" },
      ])
    })
    logs = jsonencode({
      Version = "2012-10-17"
      Statement = [
        { Effect = "Allow", Action = ["s3:ListBucket"], Resource = local.scratch },
        {
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
          Resource = "${local.scratch}/logs/*"
        },
      ]
    })
  }
}

output "expires" {
  description = "Days after which the bucket deletes by itself, by table"
  value = {
    for rule in aws_s3_bucket_lifecycle_configuration.lake.rule : trimprefix(rule.id, "backstop-") => rule.expiration[0].days
    if startswith(rule.id, "backstop-")
  }
}

output "freezes" {
  description = "Days after its last write at which a file of the archive goes to its storage class; null without one"
  value       = one([for rule in aws_s3_bucket_lifecycle_configuration.lake.rule : rule.transition[*].days if rule.id == "archive"])
}
