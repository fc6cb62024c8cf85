"""The contract of a store on every backend, as a test suite that you can run on your setup.

Example:
    ```python
    class TestOurDatabase(EventStoreContract):
        @pytest.fixture
        def engine(self):
            engine = create_engine(OUR_URL)  # an empty database
            migrations.upgrade(engine)
            yield engine
            engine.dispose()
    ```
"""

from eventstore.testing.append_contract import AppendContract
from eventstore.testing.boundary_contract import BoundaryContract
from eventstore.testing.deletion_contract import DeletionContract
from eventstore.testing.global_order_contract import GlobalOrderContract
from eventstore.testing.inline_contract import InlineContract
from eventstore.testing.input_contract import InputContract
from eventstore.testing.listing_contract import ListingContract
from eventstore.testing.projection_contract import ProjectionContract
from eventstore.testing.query_contract import QueryContract
from eventstore.testing.read_contract import ReadContract
from eventstore.testing.relay_contract import RelayContract
from eventstore.testing.repository_contract import RepositoryContract
from eventstore.testing.snapshot_contract import SnapshotContract
from eventstore.testing.transaction_contract import TransactionContract
from eventstore.testing.value_contract import ValueContract
from eventstore.testing.waiting_contract import WaitingContract

__all__ = ["EventStoreContract"]


class EventStoreContract(
    AppendContract,
    ReadContract,
    GlobalOrderContract,
    QueryContract,
    WaitingContract,
    InputContract,
    ValueContract,
    SnapshotContract,
    ListingContract,
    TransactionContract,
    ProjectionContract,
    InlineContract,
    RelayContract,
    RepositoryContract,
    DeletionContract,
    BoundaryContract,
):
    """The whole contract. Subclass it, and define the fixture `engine`: of an empty database with the tables."""
