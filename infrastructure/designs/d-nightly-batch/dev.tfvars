# A cheap copy for trials: destroyed without asking. The same variables as prod.tfvars.
# Put your bucket and image here.

environment          = "dev"
region               = "eu-west-1"
bucket               = "example-headgate-d-dev"
image_uri            = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate:0.1.0"
architecture         = "x86_64"
stream_mode          = "PROVISIONED"
shard_count          = 1
retention_hours      = 24
function_memory_mb   = 2048
reserved_concurrency = -1
job_cpu              = 1024
job_memory_mb        = 4096
emails               = []
max_rejected         = 1000
log_retention_days   = 7
protected            = false
buffer_seconds       = 60
delivered_days       = 30
event_types          = []
