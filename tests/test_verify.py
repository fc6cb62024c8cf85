"""`verify` finds damage made on purpose, of each kind, alone and together; `repair` mends what it says it mends."""

import pytest
from sqlalchemy import Engine

from eventstore import EventStore
from eventstore.maintenance import Finding, FindingKind, plan, repair, verify
from tests.damage import DAMAGES, ON_POSTGRESQL_ONLY, SECRET, fill


def kinds(findings: list[Finding]) -> set[FindingKind]:
    return {finding.kind for finding in findings}


def assert_told_well(findings: list[Finding]) -> None:
    for finding in findings:
        assert finding.found
        assert finding.expected
        assert finding.remedy
        assert finding.where
        assert ("`eventstore repair`" in finding.remedy) == finding.repairable
    assert SECRET not in repr(findings)


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_nothing_is_found_in_a_healthy_store(any_engine: Engine, batch_size: int) -> None:
    assert list(verify(EventStore(any_engine))) == []
    store = fill(any_engine)
    assert list(verify(store, batch_size=batch_size)) == []


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_found_and_what_can_be_mended_is_mended(any_engine: Engine, kind: str) -> None:
    assert_found_and_mended(any_engine, kind)


@pytest.mark.parametrize("kind", ON_POSTGRESQL_ONLY)
def test_damage_that_only_postgresql_can_have(postgres_engine: Engine, kind: str) -> None:
    assert_found_and_mended(postgres_engine, kind)


def assert_found_and_mended(engine: Engine, kind: str) -> None:
    damage = {**DAMAGES, **ON_POSTGRESQL_ONLY}[kind]
    store = fill(engine)
    damage(engine)
    findings = list(verify(store, batch_size=2))
    assert kinds(findings) == damage.kinds
    assert_told_well(findings)
    assert all(finding.repairable == damage.mended for finding in findings)
    repairs = plan(findings)
    assert bool(repairs) == damage.mended
    if repairs:
        assert list(repair(store, repairs)) == repairs
        assert list(verify(store)) == []
