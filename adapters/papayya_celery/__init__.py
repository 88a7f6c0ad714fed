"""Papayya on Celery: one line on the app you have.

    papayya_celery.install(app, tenant="customer_id", item="doc_id")

Every matched task becomes an item with steps, an outcome and a cost; call sites stay as they are.
"""

from papayya_celery.bulk import submit
from papayya_celery.installing import install
from papayya_celery.naming import Message

__all__ = ["Message", "install", "submit"]
