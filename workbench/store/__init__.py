"""Activations on disk."""

from workbench.store.activation_store import ActivationStore
from workbench.store.local import DurableLocalStore
from workbench.store.verify import Finding, VerifyReport

__all__ = ["ActivationStore", "DurableLocalStore", "Finding", "VerifyReport"]
