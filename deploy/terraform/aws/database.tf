# What the server needs for logical replication. Give the group to the instance, and reboot it: with
# rds.logical_replication the log has what is decoded from it only from then on.
resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-"
  family      = var.db_family
  description = "Logical replication for Walgate"

  # wal_level = logical.
  parameter {
    name         = "rds.logical_replication"
    value        = "1"
    apply_method = "pending-reboot"
  }

  parameter {
    name         = "max_slot_wal_keep_size"
    value        = tostring(var.max_slot_wal_keep_size_mb)
    apply_method = "immediate"
  }

  parameter {
    name         = "wal_sender_timeout"
    value        = tostring(var.wal_sender_timeout_ms)
    apply_method = "immediate"
  }

  dynamic "parameter" {
    for_each = var.iam_authentication ? { "rds.iam_auth_for_replication" = "1" } : {}
    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }

  dynamic "parameter" {
    for_each = var.db_parameters
    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }

  lifecycle {
    # A group in use can't be removed: the new one is there first.
    create_before_destroy = true
  }
}
