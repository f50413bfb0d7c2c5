# The checkpoint outlives the task. A file system of EFS, because a volume of EBS that ECS makes for a task goes
# with it. A journal on disk can lie here too: its fsyncs then take as long as EFS does.
resource "aws_efs_file_system" "this" {
  encrypted        = true
  performance_mode = "generalPurpose"
  throughput_mode  = "elastic"
  tags             = { Name = var.name }

  lifecycle {
    # Without it, the slot alone decides where to go on.
    prevent_destroy = true
  }
}

resource "aws_efs_mount_target" "this" {
  count           = length(var.subnet_ids)
  file_system_id  = aws_efs_file_system.this.id
  subnet_id       = var.subnet_ids[count.index]
  security_groups = [aws_security_group.state.id]
}

resource "aws_efs_access_point" "this" {
  file_system_id = aws_efs_file_system.this.id

  # The user of the image.
  posix_user {
    uid = 65532
    gid = 65532
  }

  root_directory {
    path = "/${var.name}"
    creation_info {
      owner_uid   = 65532
      owner_gid   = 65532
      permissions = "0700"
    }
  }
}
