"""What the processes count of themselves; read at /metrics. State that must be right (lag, oldest delivery) is read from
the database instead, in `health.py`."""

from prometheus_client import Counter, Gauge, Histogram

CHECK_INS = Counter("missedbeat_check_ins", "Check-ins answered, by result.", ["result"])
BATCH_SIZE = Histogram(
    "missedbeat_batch_size", "Check-ins recorded in one transaction.", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
BATCH_SECONDS = Histogram("missedbeat_batch_seconds", "Time from taking a batch to its answer.")
QUEUE_DEPTH = Gauge("missedbeat_queue_depth", "Check-ins waiting for their batch.", multiprocess_mode="livesum")
JOB_FAILURES = Counter("missedbeat_job_failures", "Rounds of a worker loop that failed, by loop.", ["job"])
CANARIES = Counter("missedbeat_canaries", "Check-ins of our own through the public address, by result.", ["result"])
HOLDS = Counter("missedbeat_mass_silence_holds", "Times that verdicts were held because very many fell silent at once.")
SET_ASIDE = Counter("missedbeat_monitors_set_aside", "Monitors that could not be judged and were set aside for an hour.")
HEARTBEATS = Counter("missedbeat_heartbeats", "Outgoing heartbeats: sent, failed, or withheld as we are not well.", ["outcome"])
