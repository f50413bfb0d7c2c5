variable "name" {
  description = "Name of everything that is made here, and of the ECS service."
  type        = string
  default     = "walgate"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "Lowercase letters, digits and hyphens, 31 at most."
  }
}

variable "vpc_id" {
  description = "The VPC of the database."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets for the task and for the file system's mount targets, best in the database's zones. They need a way to the image's registry, Secrets Manager and CloudWatch (NAT or endpoints)."
  type        = list(string)
}

# --- the database -----------------------------------------------------------------------------------

variable "db_instance_identifier" {
  description = "The RDS instance, for the alarms."
  type        = string
}

variable "db_family" {
  description = "Family of the parameter group, as postgres17."
  type        = string
  validation {
    condition     = can(regex("^postgres1[4-8]$", var.db_family))
    error_message = "postgres14 to postgres18."
  }
}

variable "db_security_group_id" {
  description = "The security group of the instance: the task is let in."
  type        = string
}

variable "db_port" {
  description = "Port of the instance."
  type        = number
  default     = 5432
}

variable "db_parameters" {
  description = "More parameters of the parameter group, by name; they are applied with the next reboot."
  type        = map(string)
  default     = {}
}

variable "max_slot_wal_keep_size_mb" {
  description = "What a slot may hold back before the server gives it up: the last line of defence. Half of the free storage at most."
  type        = number
  validation {
    condition     = var.max_slot_wal_keep_size_mb >= 1024
    error_message = "1024 (1 GiB) at least; -1, without a limit, lets a slot fill the disk."
  }
}

variable "wal_sender_timeout_ms" {
  description = "How long the server waits for a sign of life. RDS has 30 s, which is short for a network that stalls."
  type        = number
  default     = 60000
}

variable "iam_authentication" {
  description = "Let replication connections log in with IAM tokens (rds.iam_auth_for_replication)."
  type        = bool
  default     = false
}

# --- Walgate ---------------------------------------------------------------------------------------

variable "image" {
  description = "The image of deploy/docker, by digest or version."
  type        = string
}

variable "config" {
  description = "walgate.toml. Secrets are there as $${DATABASE_URL}; state.dir lies below /var/lib/walgate."
  type        = string
  validation {
    condition     = strcontains(var.config, "/var/lib/walgate")
    error_message = "state.dir must lie below /var/lib/walgate: the rest of the file system is read-only and forgotten."
  }
}

variable "cpu" {
  description = "Units of the task, 1024 for a processor."
  type        = number
  default     = 512
}

variable "memory_mb" {
  description = "Memory of the task."
  type        = number
  default     = 1024
}

variable "environment" {
  description = "More variables of the environment. No secrets."
  type        = map(string)
  default     = {}
}

variable "http_port" {
  description = "The port of [http] listen, for who scrapes metrics; null when nothing listens."
  type        = number
  default     = null
}

variable "scraper_security_group_ids" {
  description = "Who may reach http_port: by a name, the security group."
  type        = map(string)
  default     = {}
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps the log."
  type        = number
  default     = 30
}

# --- alarms ----------------------------------------------------------------------------------------

variable "alarm_actions" {
  description = "Where alarms go: ARNs, as of an SNS topic."
  type        = list(string)
}

variable "alarm_slot_lag_bytes" {
  description = "OldestReplicationSlotLag: what the slot that is furthest behind has not got, of all slots."
  type        = number
  default     = 10737418240
}

variable "alarm_wal_bytes" {
  description = "TransactionLogsDiskUsage: log on the instance's disk."
  type        = number
  default     = 21474836480
}

variable "alarm_free_storage_bytes" {
  description = "FreeStorageSpace: it stops the instance at 0. Above what max_slot_wal_keep_size can take."
  type        = number
}
