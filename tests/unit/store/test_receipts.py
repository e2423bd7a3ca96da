"""Sealed documents: no single bit can change unnoticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import StoreDamagedError
from workbench.store.receipts import FileRecord, read_files, seal, seal_receipt, unseal

DOCUMENT = {"plan": "0" * 64, "block": 3, "files": {"a/c/0": {"bytes": 12, "sha256": "f" * 64}}}


def test_what_is_sealed_is_read_back() -> None:
    assert unseal(seal(DOCUMENT), key="k") == DOCUMENT


@given(st.integers(0, len(seal(DOCUMENT)) * 8 - 1))
def test_any_flipped_bit_is_found(bit: int) -> None:
    data = bytearray(seal(DOCUMENT))
    data[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(StoreDamagedError, match="some/key"):
        unseal(bytes(data), key="some/key")


@given(st.integers(0, len(seal(DOCUMENT)) - 1))
def test_any_truncation_is_found(length: int) -> None:
    with pytest.raises(StoreDamagedError):
        unseal(seal(DOCUMENT)[:length], key="k")


def test_a_receipt_of_another_store_is_refused() -> None:
    files = {"a": FileRecord.of(b"abc")}
    content = unseal(seal_receipt("1" * 64, 0, files), key="k")
    assert read_files(content, plan_digest="1" * 64, key="k") == files
    with pytest.raises(StoreDamagedError, match="belongs to another store"):
        read_files(content, plan_digest="2" * 64, key="k")
