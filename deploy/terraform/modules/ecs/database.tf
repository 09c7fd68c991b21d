# Postgres for Dagster's records.

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.network.database_subnets
}

data "aws_secretsmanager_random_password" "database" {
  password_length     = 32
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "database" {
  #checkov:skip=CKV_AWS_149:Encrypted by AWS's own key; only the execution role may read it
  #checkov:skip=CKV2_AWS_57:Changed by hand: put another value and apply
  name                    = "${var.name}-database"
  description             = "Password of Dagster's Postgres"
  recovery_window_in_days = var.database.protected ? 7 : 0
}

# RDS's own secret (manage_master_user_password) is refused by Postgres with a replica. The state holds this one.
resource "aws_secretsmanager_secret_version" "database" {
  secret_id     = aws_secretsmanager_secret.database.id
  secret_string = jsonencode({ password = data.aws_secretsmanager_random_password.database.random_password })

  lifecycle {
    ignore_changes = [secret_string]
  }
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-"
  family      = "postgres16"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "dagster" {
  #checkov:skip=CKV_AWS_133:keep_days is at least 1, as the variable of the root demands
  #checkov:skip=CKV_AWS_157:Two zones double the price; multi_az decides. Lost records of runs lose no reading
  #checkov:skip=CKV_AWS_161:Dagster signs in with a password, and cannot renew IAM's tokens
  #checkov:skip=CKV_AWS_118:Enhanced monitoring needs a role and costs more than it tells of a database this small
  #checkov:skip=CKV_AWS_293:protected decides; dev may be destroyed
  #checkov:skip=CKV_AWS_353:Performance Insights is not to be had for every small class
  #checkov:skip=CKV_AWS_354:No Performance Insights
  #checkov:skip=CKV_AWS_129:Postgres logs its errors to the instance; they are read there
  #checkov:skip=CKV2_AWS_30:Statements are not logged: they hold what runs did, and Dagster shows that
  identifier                  = var.name
  engine                      = "postgres"
  engine_version              = "16"
  instance_class              = var.database.class
  allocated_storage           = var.database.storage_gb
  max_allocated_storage       = var.database.storage_gb * 5
  storage_type                = "gp3"
  storage_encrypted           = true
  db_name                     = "dagster"
  username                    = "dagster"
  password                    = jsondecode(aws_secretsmanager_secret_version.database.secret_string).password
  db_subnet_group_name        = aws_db_subnet_group.this.name
  vpc_security_group_ids      = [var.network.database_group]
  parameter_group_name        = aws_db_parameter_group.this.name
  publicly_accessible         = false
  multi_az                    = var.database.multi_az
  auto_minor_version_upgrade  = true
  allow_major_version_upgrade = false
  backup_retention_period     = var.database.keep_days
  backup_window               = "02:00-02:30"
  maintenance_window          = "tue:03:00-tue:03:30"
  copy_tags_to_snapshot       = true
  deletion_protection         = var.database.protected
  skip_final_snapshot         = !var.database.protected
  final_snapshot_identifier   = var.database.protected ? "${var.name}-last" : null
  apply_immediately           = !var.database.protected
}

resource "aws_db_instance" "replica" {
  #checkov:skip=CKV_AWS_157:A replica is the second one
  #checkov:skip=CKV_AWS_161:As of the primary
  #checkov:skip=CKV_AWS_118:As of the primary
  #checkov:skip=CKV_AWS_293:A replica is made again from its primary
  #checkov:skip=CKV_AWS_353:As of the primary
  #checkov:skip=CKV_AWS_354:As of the primary
  #checkov:skip=CKV_AWS_129:As of the primary
  #checkov:skip=CKV2_AWS_30:As of the primary
  count                      = var.database.replica ? 1 : 0
  identifier                 = "${var.name}-replica"
  replicate_source_db        = aws_db_instance.dagster.identifier
  instance_class             = var.database.class
  storage_encrypted          = true
  vpc_security_group_ids     = [var.network.database_group]
  parameter_group_name       = aws_db_parameter_group.this.name
  publicly_accessible        = false
  auto_minor_version_upgrade = true
  copy_tags_to_snapshot      = true
  skip_final_snapshot        = true
}
