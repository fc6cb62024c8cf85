from django.db import models


class Invoice(models.Model):
    number = models.IntegerField(unique=True)


class Total(models.Model):
    name = models.CharField(max_length=20, primary_key=True)
    amount = models.IntegerField(default=0)
