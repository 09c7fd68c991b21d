data "aws_region" "here" {}

locals {
  # The keys alias/aws/kinesis and alias/aws/sns have no ARN before the first use: they are named by who asks.
  keys = {
    Effect   = "Allow"
    Action   = ["kms:GenerateDataKey", "kms:Decrypt"]
    Resource = "arn:aws:kms:${data.aws_region.here.name}:${var.account}:key/*"
    Condition = {
      StringEquals = {
        "kms:ViaService" = [for name in ["kinesis", "sns"] : "${name}.${data.aws_region.here.name}.amazonaws.com"]
      }
    }
  }
}
