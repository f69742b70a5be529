"""Everybody who is measured, by the name that `--peers` knows."""

from collections.abc import Mapping
from functools import partial

from bench.peers.apscheduler import Apscheduler
from bench.peers.bullmq import Bullmq
from bench.peers.celery import Celery
from bench.peers.duetime import Duetime
from bench.peers.face import Maker
from bench.peers.stock import Stock
from bench.peers.yardstick import Yardstick

PEERS: Mapping[str, Maker] = {
    "duetime": partial(Duetime, accelerator=True),
    "duetime-api": partial(Duetime, accelerator=False),
    "yardstick": Yardstick,
    "prefect": partial(Stock, tuned=False),
    "prefect-tuned": partial(Stock, tuned=True),
    "celery": Celery,
    "apscheduler": Apscheduler,
    "bullmq": Bullmq,
}
