# The real one: larger, kept longer, protected. The same variables as dev.tfvars.
# Put your bucket and image here.

environment             = "prod"
region                  = "eu-west-1"
bucket                  = "example-headgate-a-prod"
image_uri               = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate:0.1.0"
architecture            = "x86_64"
stream_mode             = "ON_DEMAND"
shard_count             = null
retention_hours         = 168
function_memory_mb      = 3538
reserved_concurrency    = 100
job_cpu                 = 4096
job_memory_mb           = 16384
emails                  = ["data@example.com"]
max_rejected            = 100
log_retention_days      = 90
protected               = true
batching_window_seconds = 60
redis_node_type         = "cache.r7g.4xlarge" # 1,000,000 events an hour, ids of window and retention: 61 GiB (headgate plan)
redis_nodes             = 2
event_types             = []
