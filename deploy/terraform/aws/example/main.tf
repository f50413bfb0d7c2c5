# A database that is there already, and a Walgate that reads from it into MSK.
terraform {
  required_version = ">= 1.5"
}

provider "aws" {
  region = "eu-central-1"
}

variable "image" {
  description = "The image of deploy/docker."
  type        = string
}

data "aws_db_instance" "shop" {
  db_instance_identifier = "shop"
}

data "aws_db_subnet_group" "shop" {
  name = data.aws_db_instance.shop.db_subnet_group
}

resource "aws_sns_topic" "pages" {
  name = "pages"
}

module "walgate" {
  source = "./.."

  vpc_id     = data.aws_db_subnet_group.shop.vpc_id
  subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]

  db_instance_identifier    = data.aws_db_instance.shop.db_instance_identifier
  db_family                 = "postgres17"
  db_security_group_id      = data.aws_db_instance.shop.vpc_security_groups[0]
  max_slot_wal_keep_size_mb = 51200

  image  = var.image
  config = file("${path.module}/walgate.toml")

  alarm_actions            = [aws_sns_topic.pages.arn]
  alarm_free_storage_bytes = 64 * 1024 * 1024 * 1024
}

output "next" {
  value = <<-EOT
    1. aws secretsmanager put-secret-value --secret-id ${module.walgate.secret_id} --secret-string file://database.url
    2. aws rds modify-db-instance --db-instance-identifier shop --db-parameter-group-name ${module.walgate.parameter_group_name}
    3. aws rds reboot-db-instance --db-instance-identifier shop
    4. psql -f sql/role_rds.sql, and walgate check
  EOT
}
