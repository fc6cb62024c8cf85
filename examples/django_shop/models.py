"""The read models: ordinary tables."""

from django.db import models


class OrderSummary(models.Model):
    """An order as it is now, written in the transaction of its events: never behind."""

    order_id = models.CharField(max_length=40, primary_key=True)
    customer = models.CharField(max_length=100)
    article = models.CharField(max_length=100)
    total = models.DecimalField(max_digits=12, decimal_places=2)
    status = models.CharField(max_length=20)
    version = models.IntegerField()
    changed_at = models.DateTimeField(auto_now=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.order_id}: {self.article} for {self.customer}, {self.status}"


class Sales(models.Model):
    """What was sold of an article, written by a projection worker: a moment behind."""

    article = models.CharField(max_length=100, primary_key=True)
    orders = models.IntegerField(default=0)
    revenue = models.DecimalField(max_digits=14, decimal_places=2, default=0)

    def __str__(self) -> str:
        return f"{self.article}: {self.orders} orders, {self.revenue}"
