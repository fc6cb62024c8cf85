-- What the store sends to sqlite. Made by `python -m tests.golden_sql`: change the code, not this file.


-- ======== statements

-- aggregates.count_streams
SELECT count(*) AS count_1
FROM es_streams
WHERE es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category;

-- aggregates.load_aggregate
-- with param_1 = 0
WITH snapshot AS (
    SELECT
        snapshots.version AS version,
        snapshots.schema_version AS schema_version,
        snapshots.codec AS codec,
        snapshots.state AS state
    FROM snapshots, es_streams
    WHERE snapshots.stream_id = :stream_id
        AND snapshots.schema_version = :schema_version
        AND snapshots.version <= :up_to_version
        AND es_streams.stream_id = snapshots.stream_id
        AND snapshots.version <= es_streams.version
)
SELECT
    NULL AS anon_1,
    NULL AS anon__1,
    snapshot.version,
    NULL AS anon__2,
    NULL AS anon__3,
    snapshot.schema_version,
    snapshot.codec,
    snapshot.state,
    NULL AS anon__4,
    NULL AS anon__5
FROM snapshot
UNION ALL
SELECT
    tail.position,
    tail.stream_id,
    tail.version,
    tail.event_id,
    tail.event_type,
    tail.schema_version,
    tail.codec,
    tail.data,
    tail.metadata,
    tail.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.stream_id = :stream_id
        AND es_events.version > coalesce((SELECT snapshot.version FROM snapshot), 0)
        AND es_events.version <= :up_to_version
    ORDER BY es_events.version
    LIMIT (SELECT :page_size AS anon_2)
    OFFSET :param_1
) AS tail;

-- aggregates.snapshot_versions
-- with param_1 = 0
SELECT es_streams.stream_id, es_streams.version, coalesce(snapshots.version, 0) AS coalesce_1
FROM es_streams
LEFT OUTER JOIN snapshots
    ON snapshots.stream_id = es_streams.stream_id AND snapshots.schema_version = :schema_version
WHERE es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category
    AND es_streams.stream_id > :after_stream_id
ORDER BY es_streams.stream_id
LIMIT :page_size
OFFSET :param_1;

-- aggregates.version_as_of
-- with param_1 = 0
SELECT es_events.version
FROM es_events
WHERE es_events.stream_id = :stream_id AND es_events.recorded_at <= :as_of
ORDER BY es_events.version DESC
LIMIT 1
OFFSET :param_1;

-- closing.delete_events
DELETE FROM es_events WHERE es_events.stream_id = :stream_id AND es_events.version < :before_version;

-- closing.discard_dead_letters_of_stream
UPDATE es_dead_letters
SET closed_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')), status='discarded', note=:note
WHERE es_dead_letters.status = 'pending' AND es_dead_letters.stream_id = :stream_id;

-- closing.find_end
SELECT
    es_streams.version,
    CASE
        WHEN (es_streams.deleted_version IS NOT NULL) THEN '$stream-deleted'
        WHEN (es_streams.archived_version IS NOT NULL) THEN '$stream-archived'
        ELSE es_events.event_type
        END AS event_type,
    es_events.codec,
    es_events.data
FROM es_streams
LEFT OUTER JOIN es_events
    ON es_events.stream_id = es_streams.stream_id
        AND es_events.version = es_streams.version
        AND es_events.event_type IN ('$stream-deleted', '$stream-archived')
WHERE es_streams.stream_id = :stream_id;

-- closing.mark_archived
UPDATE es_streams SET archived_version=es_streams.version WHERE es_streams.stream_id = :stream_id;

-- closing.mark_deleted
UPDATE es_streams SET deleted_version=es_streams.version WHERE es_streams.stream_id = :stream_id;

-- event_types.event_type_spans
WITH RECURSIVE present(event_type) AS (
    SELECT min(es_events.event_type) AS event_type
    FROM es_events
    UNION ALL
    SELECT (
        SELECT min(es_events.event_type) AS min_2
        FROM es_events
        WHERE es_events.event_type > present.event_type
    ) AS anon_3
    FROM present
    WHERE present.event_type IS NOT NULL
)
SELECT
    present.event_type,
    (
        SELECT min(es_events.position) AS min_1
        FROM es_events
        WHERE es_events.event_type = present.event_type
    ) AS anon_1,
    (
        SELECT max(es_events.position) AS max_1
        FROM es_events
        WHERE es_events.event_type = present.event_type
    ) AS anon_2
FROM present
WHERE present.event_type IS NOT NULL
ORDER BY present.event_type;

-- event_types.sample_events
WITH RECURSIVE sample(position) AS (
    SELECT CAST(:first AS BIGINT) AS position
    UNION ALL
    SELECT coalesce(
        (
            SELECT min(es_events.position) AS min_1
            FROM es_events
            WHERE es_events.event_type = :event_type
                AND es_events.position >= sample.position + :stride
                AND es_events.position <= :last
        ),
        :last
    ) AS coalesce_1
    FROM sample
    WHERE sample.position < :last
)
SELECT
    es_events.position,
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.schema_version,
    es_events.codec,
    es_events.data,
    CAST(es_events.metadata AS TEXT) AS metadata,
    es_events.recorded_at
FROM es_events
WHERE es_events.position IN (SELECT sample.position FROM sample)
ORDER BY es_events.position;

-- global_order.closing_event_after
-- with param_1 = 1, param_2 = 0
SELECT es_events.position
FROM es_events
WHERE es_events.stream_id = :stream_id
    AND es_events.version > :version
    AND es_events.event_type IN ('$stream-deleted', '$stream-archived')
ORDER BY es_events.version DESC
LIMIT :param_1
OFFSET :param_2;

-- global_order.first_event_from
-- with param_1 = 1, param_2 = 0
SELECT es_events.position, es_events.event_id, es_events.stream_id, es_events.version
FROM es_events
WHERE es_events.position >= :position
ORDER BY es_events.position
LIMIT :param_1
OFFSET :param_2;

-- global_order.newest_position
-- with coalesce_2 = 0
SELECT coalesce(max(es_events.position), :coalesce_2) AS coalesce_1 FROM es_events;

-- global_order.page_of_events
-- with param_1 = 0
SELECT
    es_events.position,
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.schema_version,
    es_events.codec,
    es_events.data,
    CAST(es_events.metadata AS TEXT) AS metadata,
    es_events.recorded_at
FROM es_events
WHERE es_events.position > :after_position AND es_events.position <= :up_to_position
ORDER BY es_events.position
LIMIT :page_size
OFFSET :param_1;

-- heads.advance_existing_head
-- with version_1 = 0
UPDATE es_streams
SET version=(es_streams.version + :count), updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE es_streams.stream_id = :stream_id
    AND es_streams.deleted_version IS NULL
    AND es_streams.archived_version IS NULL
    AND es_streams.version > :version_1
RETURNING version;

-- heads.advance_head
UPDATE es_streams
SET version=(es_streams.version + :count), updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE es_streams.stream_id = :stream_id
    AND es_streams.deleted_version IS NULL
    AND es_streams.archived_version IS NULL
    AND es_streams.version = :expected
RETURNING version;

-- heads.create_head
INSERT INTO es_streams (version, stream_id)
VALUES (:count, :stream_id)
ON CONFLICT (stream_id)
DO NOTHING
RETURNING version;

-- heads.create_or_advance_head
INSERT INTO es_streams (version, stream_id)
VALUES (:count, :stream_id)
ON CONFLICT (stream_id)
DO UPDATE SET
    version = (es_streams.version + :count),
    updated_at = (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE es_streams.deleted_version IS NULL AND es_streams.archived_version IS NULL
RETURNING version;

-- listing.find_stream
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id = :stream_id;

-- listing.list_snapshots(of_category=False)
-- with param_1 = 0
SELECT
    snapshots.stream_id,
    snapshots.schema_version,
    snapshots.version,
    snapshots.codec,
    length(snapshots.state) AS length_1,
    snapshots.created_at,
    es_streams.version AS version_1
FROM snapshots
JOIN es_streams ON es_streams.stream_id = snapshots.stream_id
WHERE (snapshots.stream_id, snapshots.schema_version) > (:after_stream_id, :after_schema_version)
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT :page_size
OFFSET :param_1;

-- listing.list_snapshots(of_category=True)
-- with param_1 = '.', param_2 = 0
SELECT
    snapshots.stream_id,
    snapshots.schema_version,
    snapshots.version,
    snapshots.codec,
    length(snapshots.state) AS length_1,
    snapshots.created_at,
    es_streams.version AS version_1
FROM snapshots
JOIN es_streams ON es_streams.stream_id = snapshots.stream_id
WHERE (snapshots.stream_id, snapshots.schema_version) > (:after_stream_id, :after_schema_version)
    AND es_streams.category = :category
    AND snapshots.stream_id >= :category
    AND snapshots.stream_id < (:category || :param_1)
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT :page_size
OFFSET :param_2;

-- listing.list_streams(StreamOrder.ID, of_category=False, is_first=False)
-- with param_1 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id > :after_stream_id
ORDER BY es_streams.stream_id
LIMIT :page_size
OFFSET :param_1;

-- listing.list_streams(StreamOrder.ID, of_category=False, is_first=True)
-- with param_1 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
ORDER BY es_streams.stream_id
LIMIT :page_size
OFFSET :param_1;

-- listing.list_streams(StreamOrder.ID, of_category=True, is_first=False)
-- with param_1 = '.', param_2 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.category = :category
    AND es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || :param_1)
    AND es_streams.stream_id > :after_stream_id
ORDER BY es_streams.stream_id
LIMIT :page_size
OFFSET :param_2;

-- listing.list_streams(StreamOrder.ID, of_category=True, is_first=True)
-- with param_1 = '.', param_2 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.category = :category
    AND es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || :param_1)
ORDER BY es_streams.stream_id
LIMIT :page_size
OFFSET :param_2;

-- listing.list_streams(StreamOrder.SIZE, of_category=False, is_first=False)
-- with param_1 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.version < :after_version
    OR es_streams.version = :after_version
    AND es_streams.stream_id > :after_stream_id
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT :page_size
OFFSET :param_1;

-- listing.list_streams(StreamOrder.SIZE, of_category=False, is_first=True)
-- with param_1 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT :page_size
OFFSET :param_1;

-- listing.list_streams(StreamOrder.SIZE, of_category=True, is_first=False)
-- with param_1 = '.', param_2 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.category = :category
    AND es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || :param_1)
    AND (
        es_streams.version < :after_version
            OR es_streams.version = :after_version
            AND es_streams.stream_id > :after_stream_id
    )
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT :page_size
OFFSET :param_2;

-- listing.list_streams(StreamOrder.SIZE, of_category=True, is_first=True)
-- with param_1 = '.', param_2 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.category = :category
    AND es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || :param_1)
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT :page_size
OFFSET :param_2;

-- listing.list_streams(StreamOrder.RECENT, of_category=False, is_first=False)
-- with param_1 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.updated_at < :after_time
    OR es_streams.updated_at = :after_time
    AND es_streams.stream_id > :after_stream_id
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT :page_size
OFFSET :param_1;

-- listing.list_streams(StreamOrder.RECENT, of_category=False, is_first=True)
-- with param_1 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT :page_size
OFFSET :param_1;

-- listing.list_streams(StreamOrder.RECENT, of_category=True, is_first=False)
-- with param_1 = '.', param_2 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.category = :category
    AND es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || :param_1)
    AND (
        es_streams.updated_at < :after_time
            OR es_streams.updated_at = :after_time
            AND es_streams.stream_id > :after_stream_id
    )
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT :page_size
OFFSET :param_2;

-- listing.list_streams(StreamOrder.RECENT, of_category=True, is_first=True)
-- with param_1 = '.', param_2 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.category = :category
    AND es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || :param_1)
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT :page_size
OFFSET :param_2;

-- listing.newest_matching(())
-- with param_1 = 0
SELECT es_events.position
FROM es_events
WHERE es_events.position > :after_position
ORDER BY es_events.position DESC
LIMIT :page_size
OFFSET :param_1;

-- listing.newest_matching(('stream_ids',))
-- with param_1 = 0
SELECT es_events.position
FROM es_events
WHERE es_events.position > :after_position AND es_events.stream_id = :stream_ids
ORDER BY es_events.version DESC
LIMIT :page_size
OFFSET :param_1;

-- listing.newest_matching(('event_types',))
-- with param_1 = 0
SELECT es_events.position
FROM es_events
WHERE es_events.position > :after_position AND es_events.event_type = :event_types
ORDER BY es_events.position DESC
LIMIT :page_size
OFFSET :param_1;

-- listing.newest_matching(('categories',))
-- with param_1 = 0
SELECT es_events.position
FROM es_events
WHERE es_events.position > :after_position AND es_events.category = :categories
ORDER BY es_events.position DESC
LIMIT :page_size
OFFSET :param_1;

-- listing.newest_matching(('stream_ids', 'event_types'))
-- with param_1 = 0
SELECT es_events.position
FROM es_events
WHERE es_events.position > :after_position
    AND es_events.stream_id = :stream_ids
    AND es_events.event_type = :event_types
ORDER BY es_events.version DESC
LIMIT :page_size
OFFSET :param_1;

-- listing.newest_matching(('stream_ids', 'categories'))
-- with param_1 = 0
SELECT es_events.position
FROM es_events
WHERE es_events.position > :after_position
    AND es_events.stream_id = :stream_ids
    AND es_events.category = :categories
ORDER BY es_events.version DESC
LIMIT :page_size
OFFSET :param_1;

-- listing.newest_matching(('event_types', 'categories'))
-- with param_1 = 0
SELECT es_events.position
FROM es_events
WHERE es_events.position > :after_position
    AND es_events.event_type = :event_types
    AND es_events.category = :categories
ORDER BY es_events.position DESC
LIMIT :page_size
OFFSET :param_1;

-- listing.newest_matching(('stream_ids', 'event_types', 'categories'))
-- with param_1 = 0
SELECT es_events.position
FROM es_events
WHERE es_events.position > :after_position
    AND es_events.stream_id = :stream_ids
    AND es_events.event_type = :event_types
    AND es_events.category = :categories
ORDER BY es_events.version DESC
LIMIT :page_size
OFFSET :param_1;

-- listing.snapshot_coverage(of_category=False)
-- with coalesce_2 = 0, coalesce_3 = 0, coalesce_5 = 0
SELECT
    count(*) AS count_1,
    count(newest.stream_id) AS count_2,
    coalesce(sum(es_streams.version - coalesce(newest.version, :coalesce_2)), :coalesce_3) AS coalesce_1,
    coalesce(max(es_streams.version - coalesce(newest.version, :coalesce_2)), :coalesce_5) AS coalesce_4
FROM es_streams
LEFT OUTER JOIN (
    SELECT snapshots.stream_id AS stream_id, max(snapshots.version) AS version
    FROM snapshots
    GROUP BY snapshots.stream_id
) AS newest
    ON newest.stream_id = es_streams.stream_id
WHERE es_streams.version >= :min_version;

-- listing.snapshot_coverage(of_category=True)
-- with coalesce_2 = 0, coalesce_3 = 0, coalesce_5 = 0, param_1 = '.'
SELECT
    count(*) AS count_1,
    count(newest.stream_id) AS count_2,
    coalesce(sum(es_streams.version - coalesce(newest.version, :coalesce_2)), :coalesce_3) AS coalesce_1,
    coalesce(max(es_streams.version - coalesce(newest.version, :coalesce_2)), :coalesce_5) AS coalesce_4
FROM es_streams
LEFT OUTER JOIN (
    SELECT snapshots.stream_id AS stream_id, max(snapshots.version) AS version
    FROM snapshots
    GROUP BY snapshots.stream_id
) AS newest
    ON newest.stream_id = es_streams.stream_id
WHERE es_streams.version >= :min_version
    AND es_streams.category = :category
    AND es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || :param_1);

-- projections.add_dead_letter
INSERT INTO es_dead_letters (
    position, version, event_id, stream_id, event_type, projection, attempts, error, status
)
SELECT
    es_events.position,
    es_events.version,
    es_events.event_id,
    es_events.stream_id,
    es_events.event_type,
    :projection AS anon_1,
    :attempts AS anon_2,
    :error AS anon_3,
    'pending'
FROM es_events
WHERE es_events.position = :position;

-- projections.advance_checkpoint
UPDATE es_checkpoints
SET
    position=:position,
    updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    seen_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    failed_at=NULL,
    worker=:worker,
    failure=NULL,
    event_position=:event_position,
    event_id=:event_id,
    event_stream_id=:event_stream_id,
    event_version=:event_version
WHERE es_checkpoints.name = :name AND es_checkpoints.position = :old
RETURNING position;

-- projections.blocked_streams
SELECT DISTINCT es_dead_letters.stream_id
FROM es_dead_letters
WHERE es_dead_letters.projection = :projection AND es_dead_letters.status = 'pending';

-- projections.close_dead_letter
UPDATE es_dead_letters
SET
    closed_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    status=:status,
    note=coalesce(:note, es_dead_letters.note)
WHERE es_dead_letters.projection = :projection
    AND es_dead_letters.status = 'pending'
    AND es_dead_letters.position = :at_position
RETURNING position;

-- projections.count_dead_letters
SELECT es_dead_letters.projection, count(*) AS count_1
FROM es_dead_letters
WHERE es_dead_letters.status = 'pending'
GROUP BY es_dead_letters.projection;

-- projections.count_events_after
-- with param_1 = 0
SELECT count(*) AS count_1
FROM (SELECT 1 FROM es_events WHERE es_events.position > :after_position LIMIT :at_most OFFSET :param_1) AS counted;

-- projections.create_checkpoint
INSERT INTO es_checkpoints (position, name) VALUES (:position, :name) ON CONFLICT (name) DO NOTHING;

-- projections.delete_checkpoint
DELETE FROM es_checkpoints WHERE es_checkpoints.name = :name;

-- projections.delete_dead_letters
DELETE FROM es_dead_letters WHERE es_dead_letters.projection = :projection;

-- projections.fail_dead_letter
-- with attempts_1 = 1
UPDATE es_dead_letters
SET
    last_failed_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    attempts=(es_dead_letters.attempts + :attempts_1),
    error=:error
WHERE es_dead_letters.projection = :projection
    AND es_dead_letters.status = 'pending'
    AND es_dead_letters.position = :at_position
RETURNING position, attempts;

-- projections.find_checkpoint
SELECT
    es_checkpoints.position,
    es_checkpoints.seen_at,
    es_checkpoints.worker,
    es_checkpoints.failure,
    (strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS anon_1,
    es_checkpoints.failed_at,
    es_checkpoints.event_position,
    es_checkpoints.event_id,
    es_checkpoints.event_stream_id,
    es_checkpoints.event_version,
    (
        SELECT checkpoint_event.event_id
        FROM es_events AS checkpoint_event
        WHERE checkpoint_event.position = es_checkpoints.event_position
    ) AS id_there
FROM es_checkpoints
WHERE es_checkpoints.name = :name;

-- projections.find_checkpoints
SELECT
    es_checkpoints.name,
    es_checkpoints.position,
    es_checkpoints.worker,
    es_checkpoints.failure,
    es_checkpoints.updated_at,
    es_checkpoints.seen_at,
    es_checkpoints.failed_at,
    (strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS anon_1,
    CASE
        WHEN (es_checkpoints.event_id IS NULL)
            THEN es_checkpoints.position > (
                SELECT coalesce(max(newest_event.position), 0) AS coalesce_1
                FROM es_events AS newest_event
            )
        ELSE NOT (
            (
                EXISTS (
                    SELECT *
                    FROM es_events AS checkpoint_event
                    WHERE checkpoint_event.position = es_checkpoints.event_position
                        AND checkpoint_event.event_id = es_checkpoints.event_id
                )
            )
                OR (
                    EXISTS (
                        SELECT *
                        FROM es_events AS closing_event
                        WHERE closing_event.stream_id = es_checkpoints.event_stream_id
                            AND closing_event.version > es_checkpoints.event_version
                            AND closing_event.event_type IN ('$stream-deleted', '$stream-archived')
                    )
                )
        )
        END AS has_log_gone_back
FROM es_checkpoints
ORDER BY es_checkpoints.name;

-- projections.find_dead_letters
-- with param_1 = 0
SELECT
    es_dead_letters.projection,
    es_dead_letters.position,
    es_dead_letters.stream_id,
    es_dead_letters.version,
    es_dead_letters.event_id,
    es_dead_letters.event_type,
    es_dead_letters.status,
    es_dead_letters.attempts,
    es_dead_letters.error,
    es_dead_letters.note,
    es_dead_letters.first_failed_at,
    es_dead_letters.last_failed_at,
    es_dead_letters.closed_at
FROM es_dead_letters
WHERE es_dead_letters.projection = :projection
    AND es_dead_letters.status = :status
    AND es_dead_letters.position > :after_position
ORDER BY es_dead_letters.position
LIMIT :page_size
OFFSET :param_1;

-- projections.lock_checkpoint
SELECT
    es_checkpoints.position,
    es_checkpoints.event_position,
    es_checkpoints.event_id,
    es_checkpoints.event_stream_id,
    es_checkpoints.event_version,
    (
        SELECT checkpoint_event.event_id
        FROM es_events AS checkpoint_event
        WHERE checkpoint_event.position = es_checkpoints.event_position
    ) AS id_there
FROM es_checkpoints
WHERE es_checkpoints.name = :name;

-- projections.mark_failed
UPDATE es_checkpoints
SET failed_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')), failure=:failure
WHERE es_checkpoints.name = (
    SELECT es_checkpoints.name FROM es_checkpoints WHERE es_checkpoints.name = :name
);

-- projections.mark_retrying
UPDATE es_checkpoints
SET
    seen_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    failed_at=NULL,
    worker=:worker,
    failure=:failure
WHERE es_checkpoints.name = (
    SELECT es_checkpoints.name FROM es_checkpoints WHERE es_checkpoints.name = :name
);

-- projections.mark_seen
UPDATE es_checkpoints
SET seen_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')), worker=:worker
WHERE es_checkpoints.name = (
    SELECT es_checkpoints.name FROM es_checkpoints WHERE es_checkpoints.name = :name
);

-- projections.mark_stopped
UPDATE es_checkpoints
SET seen_at=NULL
WHERE es_checkpoints.name = (
    SELECT es_checkpoints.name FROM es_checkpoints WHERE es_checkpoints.name = :name
)
    AND es_checkpoints.worker = :worker;

-- projections.names_of_projections
SELECT es_checkpoints.name FROM es_checkpoints ORDER BY es_checkpoints.name;

-- projections.next_event_time
-- with param_1 = 1, param_2 = 0
SELECT es_events.recorded_at
FROM es_events
WHERE es_events.position > :after_position
ORDER BY es_events.position
LIMIT :param_1
OFFSET :param_2;

-- projections.projection_health
-- with param_1 = 0, param_2 = 0, param_3 = 0
SELECT
    es_checkpoints.name,
    es_checkpoints.position,
    (
        SELECT count(*) AS count_1
        FROM (
            SELECT es_events.position AS position
            FROM es_events
            WHERE es_events.position > es_checkpoints.position
            LIMIT :at_most
            OFFSET :param_1
        ) AS behind
    ) AS anon_1,
    (
        SELECT es_events.recorded_at
        FROM es_events
        WHERE es_events.position > es_checkpoints.position
        ORDER BY es_events.position
        LIMIT 1
        OFFSET :param_2
    ) AS anon_2,
    (
        SELECT count(*) AS count_2
        FROM (
            SELECT es_dead_letters.position AS position
            FROM es_dead_letters
            WHERE es_dead_letters.projection = es_checkpoints.name AND es_dead_letters.status = 'pending'
            LIMIT :at_most
            OFFSET :param_3
        ) AS pending
    ) AS anon_3,
    es_checkpoints.failure,
    es_checkpoints.failed_at,
    (strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS anon_4,
    CASE
        WHEN (es_checkpoints.event_id IS NULL)
            THEN es_checkpoints.position > (
                SELECT coalesce(max(newest_event.position), 0) AS coalesce_1
                FROM es_events AS newest_event
            )
        ELSE NOT (
            (
                EXISTS (
                    SELECT *
                    FROM es_events AS checkpoint_event
                    WHERE checkpoint_event.position = es_checkpoints.event_position
                        AND checkpoint_event.event_id = es_checkpoints.event_id
                )
            )
                OR (
                    EXISTS (
                        SELECT *
                        FROM es_events AS closing_event
                        WHERE closing_event.stream_id = es_checkpoints.event_stream_id
                            AND closing_event.version > es_checkpoints.event_version
                            AND closing_event.event_type IN ('$stream-deleted', '$stream-archived')
                    )
                )
        )
        END AS has_log_gone_back
FROM es_checkpoints
ORDER BY es_checkpoints.name;

-- projections.read_pending
-- with param_1 = 0
SELECT
    es_events.position,
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.schema_version,
    es_events.codec,
    es_events.data,
    CAST(es_events.metadata AS TEXT) AS metadata,
    es_events.recorded_at
FROM es_events, es_dead_letters
WHERE es_events.position = es_dead_letters.position
    AND es_dead_letters.projection = :projection
    AND es_dead_letters.status = 'pending'
    AND es_dead_letters.stream_id = :stream_id
ORDER BY es_dead_letters.position
LIMIT :page_size
OFFSET :param_1;

-- projections.rename_checkpoint
UPDATE es_checkpoints SET name=:new_name WHERE es_checkpoints.name = :name;

-- projections.rename_dead_letters
UPDATE es_dead_letters SET projection=:new_name WHERE es_dead_letters.projection = :name;

-- projections.set_checkpoint
UPDATE es_checkpoints
SET
    position=:position,
    updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    failed_at=NULL,
    failure=NULL,
    event_position=NULL,
    event_id=NULL,
    event_stream_id=NULL,
    event_version=NULL
WHERE es_checkpoints.name = :name;

-- reading.newest_stored_version
SELECT max(es_events.version) AS max_1 FROM es_events WHERE es_events.stream_id = :stream_id;

-- reading.read_backwards
-- with param_1 = 0
SELECT
    es_events.position,
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.schema_version,
    es_events.codec,
    es_events.data,
    CAST(es_events.metadata AS TEXT) AS metadata,
    es_events.recorded_at
FROM es_events
WHERE es_events.stream_id = :stream_id
    AND es_events.version > :after_version
    AND es_events.version <= :up_to_version
ORDER BY es_events.version DESC
LIMIT :page_size
OFFSET :param_1;

-- reading.read_forwards
-- with param_1 = 0
SELECT
    es_events.position,
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.schema_version,
    es_events.codec,
    es_events.data,
    CAST(es_events.metadata AS TEXT) AS metadata,
    es_events.recorded_at
FROM es_events
WHERE es_events.stream_id = :stream_id
    AND es_events.version > :after_version
    AND es_events.version <= :up_to_version
ORDER BY es_events.version
LIMIT :page_size
OFFSET :param_1;

-- reading.stream_version
SELECT es_streams.version FROM es_streams WHERE es_streams.stream_id = :stream_id;

-- repairs.delete_head_without_events
DELETE FROM es_streams
WHERE es_streams.stream_id = :stream_id
    AND NOT (EXISTS (SELECT 1 FROM es_events WHERE es_events.stream_id = es_streams.stream_id))
RETURNING version;

-- repairs.delete_snapshot_at_version
DELETE FROM snapshots
WHERE snapshots.stream_id = :stream_id
    AND snapshots.schema_version = :schema_version
    AND snapshots.version = :version
RETURNING version;

-- repairs.delete_snapshots_beyond_head
DELETE FROM snapshots
WHERE snapshots.stream_id = :stream_id
    AND NOT (
        (
            EXISTS (
                SELECT 1
                FROM es_streams
                WHERE es_streams.stream_id = snapshots.stream_id
                    AND es_streams.version >= snapshots.version
            )
        )
            AND (EXISTS (SELECT 1 FROM es_events WHERE es_events.stream_id = snapshots.stream_id))
    )
RETURNING version;

-- repairs.restore_head
INSERT INTO es_streams (stream_id, version, created_at, updated_at)
SELECT
    es_events.stream_id,
    max(es_events.version) AS max_1,
    min(es_events.recorded_at) AS min_1,
    max(es_events.recorded_at) AS max_2
FROM es_events
WHERE es_events.stream_id = :stream_id
GROUP BY es_events.stream_id
ON CONFLICT (stream_id)
DO UPDATE SET
    version = excluded.version,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at
WHERE es_streams.version != excluded.version
RETURNING version;

-- schema.schema_version
SELECT es_schema.version, es_schema.breaking_version FROM es_schema;

-- snapshots.delete_snapshot
DELETE FROM snapshots
WHERE snapshots.stream_id = :stream_id AND snapshots.schema_version = :schema_version
RETURNING version;

-- snapshots.delete_snapshots
DELETE FROM snapshots WHERE snapshots.stream_id = :stream_id RETURNING version;

-- snapshots.load_snapshot
SELECT snapshots.version, snapshots.codec, snapshots.state, snapshots.created_at
FROM snapshots, es_streams
WHERE snapshots.stream_id = :stream_id
    AND snapshots.schema_version = :schema_version
    AND es_streams.stream_id = snapshots.stream_id
    AND snapshots.version <= es_streams.version;

-- snapshots.save_snapshot
INSERT INTO snapshots (stream_id, schema_version, version, codec, state)
SELECT
    :stream_id AS anon_1,
    :schema_version AS anon_2,
    :version AS anon_3,
    :codec AS anon_4,
    :state AS anon_5
FROM es_streams
JOIN es_events ON es_events.stream_id = es_streams.stream_id AND es_events.version = :version
WHERE es_streams.stream_id = :stream_id AND es_streams.version >= :version
ON CONFLICT (stream_id, schema_version)
DO UPDATE SET
    version = excluded.version,
    created_at = (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    codec = excluded.codec,
    state = excluded.state
WHERE snapshots.version < excluded.version
RETURNING version;

-- sqlite.append.find_heads
SELECT es_streams.stream_id, es_streams.version
FROM es_streams
WHERE es_streams.stream_id IN (SELECT anon_1.value FROM json_each(:stream_ids) AS anon_1);

-- sqlite.append.insert_event
INSERT INTO es_events (version, event_id, schema_version, codec, stream_id, event_type, data, metadata)
VALUES (:version, :event_id, :schema_version, :codec, :stream_id, :event_type, :data, :metadata);

-- sqlite.append.insert_single_event
INSERT INTO es_events (version, event_id, schema_version, codec, stream_id, event_type, data, metadata)
VALUES (:version, :event_id, :schema_version, :codec, :stream_id, :event_type, :data, :metadata)
RETURNING position;

-- sqlite.append.last_position
SELECT last_insert_rowid() AS last_insert_rowid_1;

-- sqlite.append.set_head
INSERT INTO es_streams (version, stream_id)
VALUES (:version, :stream_id)
ON CONFLICT (stream_id)
DO UPDATE SET version = :version, updated_at = (strftime('%Y-%m-%d %H:%M:%f000', 'now'));

-- sqlite.append.take_write_lock
-- with stream_id_1 = ''
UPDATE es_streams SET version=es_streams.version WHERE es_streams.stream_id = :stream_id_1;

-- sqlite.history.give_permission
INSERT INTO es_history_permission (id) VALUES (1) ON CONFLICT DO NOTHING RETURNING id;

-- sqlite.history.take_permission
DELETE FROM es_history_permission;

-- sqlite.look.look
-- with name_1 = 'es_events', param_1 = 0
SELECT
    newest.position,
    newest.event_id,
    newest.stream_id,
    newest.version,
    known.settled_id,
    known.token_id,
    known.drawn
FROM (
    SELECT (
        SELECT event_at_settled.event_id
        FROM es_events AS event_at_settled
        WHERE event_at_settled.position = :settled
    ) AS settled_id,
    (
        SELECT event_at_token_position.event_id
        FROM es_events AS event_at_token_position
        WHERE event_at_token_position.position = :token_position
    ) AS token_id,
    (
        SELECT max(sqlite_sequence.seq) AS max_1
        FROM sqlite_sequence
        WHERE sqlite_sequence.name = :name_1
    ) AS drawn
) AS known
LEFT OUTER JOIN (
    SELECT
        newest_event.position AS position,
        newest_event.event_id AS event_id,
        newest_event.stream_id AS stream_id,
        newest_event.version AS version
    FROM es_events AS newest_event
    ORDER BY newest_event.position DESC
    LIMIT 1
    OFFSET :param_1
) AS newest
    ON 1 = 1;

-- sqlite.positions.add_last_numbered
-- with name = 'es_events'
INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :position);

-- sqlite.positions.forget_last_numbered
-- with name_1 = 'es_events'
DELETE FROM sqlite_sequence WHERE sqlite_sequence.name = :name_1;

-- sqlite.positions.last_numbered
-- with coalesce_2 = 0, name_1 = 'es_events'
SELECT (SELECT coalesce(max(es_events.position), :coalesce_2) AS coalesce_1 FROM es_events) AS anon_1,
(SELECT max(sqlite_sequence.seq) AS max_1 FROM sqlite_sequence WHERE sqlite_sequence.name = :name_1) AS anon_2;

-- sqlite.read_page.read_everything
-- with param_1 = 0
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (
        SELECT event_at_settled_position.event_id
        FROM es_events AS event_at_settled_position
        WHERE event_at_settled_position.position = :settled_position
    ) AS event_id,
    CAST(
        (
            SELECT event_at_token_position.event_id
            FROM es_events AS event_at_token_position
            WHERE event_at_token_position.position = :token_position
        ) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT
    page.position,
    page.stream_id,
    page.version,
    page.event_id,
    page.event_type,
    page.schema_version,
    page.codec,
    page.data,
    page.metadata,
    page.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position > :after_position AND es_events.position <= :up_to_position
    ORDER BY es_events.position
    LIMIT :page_size
    OFFSET :param_1
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching(((),))
-- with param_1 = 0, param_2 = 0
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (
        SELECT event_at_settled_position.event_id
        FROM es_events AS event_at_settled_position
        WHERE event_at_settled_position.position = :settled_position
    ) AS event_id,
    CAST(
        (
            SELECT event_at_token_position.event_id
            FROM es_events AS event_at_token_position
            WHERE event_at_token_position.position = :token_position
        ) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT
    page.position,
    page.stream_id,
    page.version,
    page.event_id,
    page.event_type,
    page.schema_version,
    page.codec,
    page.data,
    page.metadata,
    page.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position IN (
        SELECT page.position
        FROM (
            SELECT found.position AS position
            FROM (
                SELECT found_0.position AS position
                FROM (
                    SELECT es_events.position AS position
                    FROM es_events
                    WHERE es_events.position > :after_position_0 AND es_events.position <= :up_to_position
                    ORDER BY es_events.position
                    LIMIT :page_size
                    OFFSET :param_1
                ) AS found_0
            ) AS found
            ORDER BY found.position
            LIMIT :page_size
            OFFSET :param_2
        ) AS page
    )
    ORDER BY es_events.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids',),))
-- with param_1 = 1, param_2 = 1, param_3 = 9223372036854775807, param_4 = 0, param_5 = 0
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (
        SELECT event_at_settled_position.event_id
        FROM es_events AS event_at_settled_position
        WHERE event_at_settled_position.position = :settled_position
    ) AS event_id,
    CAST(
        (
            SELECT event_at_token_position.event_id
            FROM es_events AS event_at_token_position
            WHERE event_at_token_position.position = :token_position
        ) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT
    page.position,
    page.stream_id,
    page.version,
    page.event_id,
    page.event_type,
    page.schema_version,
    page.codec,
    page.data,
    page.metadata,
    page.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position IN (
        SELECT page.position
        FROM (
            SELECT found.position AS position
            FROM (
                SELECT candidate.position AS position
                FROM
                    es_events AS candidate,
                    (
                        SELECT
                            wanted_0.value AS value,
                            coalesce(
                                (
                                    SELECT counted.position
                                    FROM es_events AS counted
                                    WHERE counted.stream_id = wanted_0.value
                                        AND counted.position > :after_position_0
                                        AND counted.position <= :up_to_position
                                    ORDER BY counted.version
                                    LIMIT :param_1
                                    OFFSET :page_size - :param_2
                                ),
                                :up_to_position
                            ) AS position
                        FROM json_each(:stream_ids_0) AS wanted_0
                        LIMIT :param_3
                        OFFSET :param_4
                    ) AS end_0
                WHERE candidate.stream_id = end_0.value
                    AND candidate.position > :after_position_0
                    AND candidate.position <= end_0.position
            ) AS found
            ORDER BY found.position
            LIMIT :page_size
            OFFSET :param_5
        ) AS page
    )
    ORDER BY es_events.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('event_types',),))
-- with param_1 = 1, param_2 = 1, param_3 = 9223372036854775807, param_4 = 0, param_5 = 0
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (
        SELECT event_at_settled_position.event_id
        FROM es_events AS event_at_settled_position
        WHERE event_at_settled_position.position = :settled_position
    ) AS event_id,
    CAST(
        (
            SELECT event_at_token_position.event_id
            FROM es_events AS event_at_token_position
            WHERE event_at_token_position.position = :token_position
        ) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT
    page.position,
    page.stream_id,
    page.version,
    page.event_id,
    page.event_type,
    page.schema_version,
    page.codec,
    page.data,
    page.metadata,
    page.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position IN (
        SELECT page.position
        FROM (
            SELECT found.position AS position
            FROM (
                SELECT candidate.position AS position
                FROM
                    es_events AS candidate,
                    (
                        SELECT
                            wanted_0.value AS value,
                            coalesce(
                                (
                                    SELECT counted.position
                                    FROM es_events AS counted
                                    WHERE counted.event_type = wanted_0.value
                                        AND counted.position > :after_position_0
                                        AND counted.position <= :up_to_position
                                    ORDER BY counted.position
                                    LIMIT :param_1
                                    OFFSET :page_size - :param_2
                                ),
                                :up_to_position
                            ) AS position
                        FROM json_each(:event_types_0) AS wanted_0
                        LIMIT :param_3
                        OFFSET :param_4
                    ) AS end_0
                WHERE candidate.event_type = end_0.value
                    AND candidate.position > :after_position_0
                    AND candidate.position <= end_0.position
            ) AS found
            ORDER BY found.position
            LIMIT :page_size
            OFFSET :param_5
        ) AS page
    )
    ORDER BY es_events.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('categories',),))
-- with param_1 = 1, param_2 = 1, param_3 = 9223372036854775807, param_4 = 0, param_5 = 0
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (
        SELECT event_at_settled_position.event_id
        FROM es_events AS event_at_settled_position
        WHERE event_at_settled_position.position = :settled_position
    ) AS event_id,
    CAST(
        (
            SELECT event_at_token_position.event_id
            FROM es_events AS event_at_token_position
            WHERE event_at_token_position.position = :token_position
        ) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT
    page.position,
    page.stream_id,
    page.version,
    page.event_id,
    page.event_type,
    page.schema_version,
    page.codec,
    page.data,
    page.metadata,
    page.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position IN (
        SELECT page.position
        FROM (
            SELECT found.position AS position
            FROM (
                SELECT candidate.position AS position
                FROM
                    es_events AS candidate,
                    (
                        SELECT
                            wanted_0.value AS value,
                            coalesce(
                                (
                                    SELECT counted.position
                                    FROM es_events AS counted
                                    WHERE counted.category = wanted_0.value
                                        AND counted.position > :after_position_0
                                        AND counted.position <= :up_to_position
                                    ORDER BY counted.position
                                    LIMIT :param_1
                                    OFFSET :page_size - :param_2
                                ),
                                :up_to_position
                            ) AS position
                        FROM json_each(:categories_0) AS wanted_0
                        LIMIT :param_3
                        OFFSET :param_4
                    ) AS end_0
                WHERE candidate.category = end_0.value
                    AND candidate.position > :after_position_0
                    AND candidate.position <= end_0.position
            ) AS found
            ORDER BY found.position
            LIMIT :page_size
            OFFSET :param_5
        ) AS page
    )
    ORDER BY es_events.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids', 'event_types'),))
-- with param_1 = 1, param_2 = 1, param_3 = 9223372036854775807, param_4 = 0, param_5 = 0
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (
        SELECT event_at_settled_position.event_id
        FROM es_events AS event_at_settled_position
        WHERE event_at_settled_position.position = :settled_position
    ) AS event_id,
    CAST(
        (
            SELECT event_at_token_position.event_id
            FROM es_events AS event_at_token_position
            WHERE event_at_token_position.position = :token_position
        ) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT
    page.position,
    page.stream_id,
    page.version,
    page.event_id,
    page.event_type,
    page.schema_version,
    page.codec,
    page.data,
    page.metadata,
    page.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position IN (
        SELECT page.position
        FROM (
            SELECT found.position AS position
            FROM (
                SELECT candidate.position AS position
                FROM
                    es_events AS candidate,
                    (
                        SELECT
                            wanted_0.value AS value,
                            coalesce(
                                (
                                    SELECT counted.position
                                    FROM es_events AS counted
                                    WHERE counted.stream_id = wanted_0.value
                                        AND counted.event_type IN (
                                            SELECT anon_1.value
                                            FROM json_each(:event_types_0) AS anon_1
                                        )
                                        AND counted.position > :after_position_0
                                        AND counted.position <= :up_to_position
                                    ORDER BY counted.version
                                    LIMIT :param_1
                                    OFFSET :page_size - :param_2
                                ),
                                :up_to_position
                            ) AS position
                        FROM json_each(:stream_ids_0) AS wanted_0
                        LIMIT :param_3
                        OFFSET :param_4
                    ) AS end_0
                WHERE candidate.stream_id = end_0.value
                    AND candidate.event_type IN (
                        SELECT anon_2.value FROM json_each(:event_types_0) AS anon_2
                    )
                    AND candidate.position > :after_position_0
                    AND candidate.position <= end_0.position
            ) AS found
            ORDER BY found.position
            LIMIT :page_size
            OFFSET :param_5
        ) AS page
    )
    ORDER BY es_events.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids', 'categories'),))
-- with param_1 = 1, param_2 = 1, param_3 = 9223372036854775807, param_4 = 0, param_5 = 0
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (
        SELECT event_at_settled_position.event_id
        FROM es_events AS event_at_settled_position
        WHERE event_at_settled_position.position = :settled_position
    ) AS event_id,
    CAST(
        (
            SELECT event_at_token_position.event_id
            FROM es_events AS event_at_token_position
            WHERE event_at_token_position.position = :token_position
        ) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT
    page.position,
    page.stream_id,
    page.version,
    page.event_id,
    page.event_type,
    page.schema_version,
    page.codec,
    page.data,
    page.metadata,
    page.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position IN (
        SELECT page.position
        FROM (
            SELECT found.position AS position
            FROM (
                SELECT candidate.position AS position
                FROM
                    es_events AS candidate,
                    (
                        SELECT
                            wanted_0.value AS value,
                            coalesce(
                                (
                                    SELECT counted.position
                                    FROM es_events AS counted
                                    WHERE counted.stream_id = wanted_0.value
                                        AND counted.category IN (
                                            SELECT anon_1.value
                                            FROM json_each(:categories_0) AS anon_1
                                        )
                                        AND counted.position > :after_position_0
                                        AND counted.position <= :up_to_position
                                    ORDER BY counted.version
                                    LIMIT :param_1
                                    OFFSET :page_size - :param_2
                                ),
                                :up_to_position
                            ) AS position
                        FROM json_each(:stream_ids_0) AS wanted_0
                        LIMIT :param_3
                        OFFSET :param_4
                    ) AS end_0
                WHERE candidate.stream_id = end_0.value
                    AND candidate.category IN (
                        SELECT anon_2.value FROM json_each(:categories_0) AS anon_2
                    )
                    AND candidate.position > :after_position_0
                    AND candidate.position <= end_0.position
            ) AS found
            ORDER BY found.position
            LIMIT :page_size
            OFFSET :param_5
        ) AS page
    )
    ORDER BY es_events.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('event_types', 'categories'),))
-- with param_1 = 1, param_2 = 1, param_3 = 9223372036854775807, param_4 = 0, param_5 = 0
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (
        SELECT event_at_settled_position.event_id
        FROM es_events AS event_at_settled_position
        WHERE event_at_settled_position.position = :settled_position
    ) AS event_id,
    CAST(
        (
            SELECT event_at_token_position.event_id
            FROM es_events AS event_at_token_position
            WHERE event_at_token_position.position = :token_position
        ) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT
    page.position,
    page.stream_id,
    page.version,
    page.event_id,
    page.event_type,
    page.schema_version,
    page.codec,
    page.data,
    page.metadata,
    page.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position IN (
        SELECT page.position
        FROM (
            SELECT found.position AS position
            FROM (
                SELECT candidate.position AS position
                FROM
                    es_events AS candidate,
                    (
                        SELECT
                            wanted_0.value AS value,
                            coalesce(
                                (
                                    SELECT counted.position
                                    FROM es_events AS counted
                                    WHERE counted.event_type = wanted_0.value
                                        AND counted.category IN (
                                            SELECT anon_1.value
                                            FROM json_each(:categories_0) AS anon_1
                                        )
                                        AND counted.position > :after_position_0
                                        AND counted.position <= :up_to_position
                                    ORDER BY counted.position
                                    LIMIT :param_1
                                    OFFSET :page_size - :param_2
                                ),
                                :up_to_position
                            ) AS position
                        FROM json_each(:event_types_0) AS wanted_0
                        LIMIT :param_3
                        OFFSET :param_4
                    ) AS end_0
                WHERE candidate.event_type = end_0.value
                    AND candidate.category IN (
                        SELECT anon_2.value FROM json_each(:categories_0) AS anon_2
                    )
                    AND candidate.position > :after_position_0
                    AND candidate.position <= end_0.position
            ) AS found
            ORDER BY found.position
            LIMIT :page_size
            OFFSET :param_5
        ) AS page
    )
    ORDER BY es_events.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids', 'event_types', 'categories'),))
-- with param_1 = 1, param_2 = 1, param_3 = 9223372036854775807, param_4 = 0, param_5 = 0
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (
        SELECT event_at_settled_position.event_id
        FROM es_events AS event_at_settled_position
        WHERE event_at_settled_position.position = :settled_position
    ) AS event_id,
    CAST(
        (
            SELECT event_at_token_position.event_id
            FROM es_events AS event_at_token_position
            WHERE event_at_token_position.position = :token_position
        ) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT
    page.position,
    page.stream_id,
    page.version,
    page.event_id,
    page.event_type,
    page.schema_version,
    page.codec,
    page.data,
    page.metadata,
    page.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position IN (
        SELECT page.position
        FROM (
            SELECT found.position AS position
            FROM (
                SELECT candidate.position AS position
                FROM
                    es_events AS candidate,
                    (
                        SELECT
                            wanted_0.value AS value,
                            coalesce(
                                (
                                    SELECT counted.position
                                    FROM es_events AS counted
                                    WHERE counted.stream_id = wanted_0.value
                                        AND counted.event_type IN (
                                            SELECT anon_1.value
                                            FROM json_each(:event_types_0) AS anon_1
                                        )
                                        AND counted.category IN (
                                            SELECT anon_2.value
                                            FROM json_each(:categories_0) AS anon_2
                                        )
                                        AND counted.position > :after_position_0
                                        AND counted.position <= :up_to_position
                                    ORDER BY counted.version
                                    LIMIT :param_1
                                    OFFSET :page_size - :param_2
                                ),
                                :up_to_position
                            ) AS position
                        FROM json_each(:stream_ids_0) AS wanted_0
                        LIMIT :param_3
                        OFFSET :param_4
                    ) AS end_0
                WHERE candidate.stream_id = end_0.value
                    AND candidate.event_type IN (
                        SELECT anon_3.value FROM json_each(:event_types_0) AS anon_3
                    )
                    AND candidate.category IN (
                        SELECT anon_4.value FROM json_each(:categories_0) AS anon_4
                    )
                    AND candidate.position > :after_position_0
                    AND candidate.position <= end_0.position
            ) AS found
            ORDER BY found.position
            LIMIT :page_size
            OFFSET :param_5
        ) AS page
    )
    ORDER BY es_events.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('categories', 'event_types'), ('stream_ids',), ()))
-- with param_1 = 1, param_2 = 1, param_3 = 9223372036854775807, param_4 = 0, param_5 = 1, param_6 = 1, param_7 =
--   9223372036854775807, param_8 = 0, param_9 = 0, param_10 = 0
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (
        SELECT event_at_settled_position.event_id
        FROM es_events AS event_at_settled_position
        WHERE event_at_settled_position.position = :settled_position
    ) AS event_id,
    CAST(
        (
            SELECT event_at_token_position.event_id
            FROM es_events AS event_at_token_position
            WHERE event_at_token_position.position = :token_position
        ) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT
    page.position,
    page.stream_id,
    page.version,
    page.event_id,
    page.event_type,
    page.schema_version,
    page.codec,
    page.data,
    page.metadata,
    page.recorded_at
FROM (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_id AS event_id,
        es_events.event_type AS event_type,
        es_events.schema_version AS schema_version,
        es_events.codec AS codec,
        es_events.data AS data,
        CAST(es_events.metadata AS TEXT) AS metadata,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position IN (
        SELECT page.position
        FROM (
            SELECT found.position AS position
            FROM (
                SELECT candidate.position AS position
                FROM
                    es_events AS candidate,
                    (
                        SELECT
                            wanted_0.value AS value,
                            coalesce(
                                (
                                    SELECT counted.position
                                    FROM es_events AS counted
                                    WHERE counted.event_type = wanted_0.value
                                        AND counted.category IN (
                                            SELECT anon_1.value
                                            FROM json_each(:categories_0) AS anon_1
                                        )
                                        AND counted.position > :after_position_0
                                        AND counted.position <= :up_to_position
                                    ORDER BY counted.position
                                    LIMIT :param_1
                                    OFFSET :page_size - :param_2
                                ),
                                :up_to_position
                            ) AS position
                        FROM json_each(:event_types_0) AS wanted_0
                        LIMIT :param_3
                        OFFSET :param_4
                    ) AS end_0
                WHERE candidate.event_type = end_0.value
                    AND candidate.category IN (
                        SELECT anon_2.value FROM json_each(:categories_0) AS anon_2
                    )
                    AND candidate.position > :after_position_0
                    AND candidate.position <= end_0.position
                UNION
                SELECT candidate.position AS position
                FROM
                    es_events AS candidate,
                    (
                        SELECT
                            wanted_1.value AS value,
                            coalesce(
                                (
                                    SELECT counted.position
                                    FROM es_events AS counted
                                    WHERE counted.stream_id = wanted_1.value
                                        AND counted.position > :after_position_1
                                        AND counted.position <= :up_to_position
                                    ORDER BY counted.version
                                    LIMIT :param_5
                                    OFFSET :page_size - :param_6
                                ),
                                :up_to_position
                            ) AS position
                        FROM json_each(:stream_ids_1) AS wanted_1
                        LIMIT :param_7
                        OFFSET :param_8
                    ) AS end_1
                WHERE candidate.stream_id = end_1.value
                    AND candidate.position > :after_position_1
                    AND candidate.position <= end_1.position
                UNION
                SELECT found_2.position AS position
                FROM (
                    SELECT es_events.position AS position
                    FROM es_events
                    WHERE es_events.position > :after_position_2 AND es_events.position <= :up_to_position
                    ORDER BY es_events.position
                    LIMIT :page_size
                    OFFSET :param_9
                ) AS found_2
            ) AS found
            ORDER BY found.position
            LIMIT :page_size
            OFFSET :param_10
        ) AS page
    )
    ORDER BY es_events.position
) AS page
ORDER BY position;

-- sqlite.settings.setting('foreign_keys')
SELECT foreign_keys FROM pragma_foreign_keys() AS anon_1;

-- sqlite.settings.setting('journal_mode')
SELECT journal_mode FROM pragma_journal_mode() AS anon_1;

-- sqlite.settings.setting('synchronous')
SELECT synchronous FROM pragma_synchronous() AS anon_1;

-- sqlite.statistics.database_size
SELECT CAST(anon_2.page_count * anon_3.page_size AS INTEGER) AS anon_1
FROM pragma_page_count() AS anon_2, pragma_page_size() AS anon_3;

-- sqlite.statistics.sizes
SELECT
    sqlite_master.tbl_name,
    iif(sqlite_master.type = 'index', sqlite_master.name, NULL) AS iif_1,
    dbstat.pgsize
FROM sqlite_master, dbstat
WHERE dbstat.name = sqlite_master.name
    AND dbstat.aggregate = 1
    AND sqlite_master.tbl_name IN (
        'es_checkpoints',
        'es_history_permission',
        'es_schema',
        'es_streams',
        'es_dead_letters',
        'es_events',
        'snapshots'
    );

-- sqlite.transfer.find_stored
SELECT
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.schema_version,
    es_events.codec,
    es_events.data,
    es_events.position
FROM es_events
JOIN json_each(:places) AS anon_1
    ON es_events.stream_id = json_extract(anon_1.value, '$[0]')
        AND es_events.version = json_extract(anon_1.value, '$[1]');

-- sqlite.transfer.insert_positioned_event
INSERT INTO es_events (
    position,
    version,
    recorded_at,
    event_id,
    schema_version,
    codec,
    stream_id,
    event_type,
    data,
    metadata
)
VALUES (
    :position,
    :version,
    :recorded_at,
    :event_id,
    :schema_version,
    :codec,
    :stream_id,
    :event_type,
    :data,
    :metadata
);

-- sqlite.transfer.insert_stored_event
INSERT INTO es_events (
    version, recorded_at, event_id, schema_version, codec, stream_id, event_type, data, metadata
)
VALUES (
    :version,
    :recorded_at,
    :event_id,
    :schema_version,
    :codec,
    :stream_id,
    :event_type,
    :data,
    :metadata
);

-- statistics.count_events_since
-- with param_1 = 0
SELECT count(*) AS count_1
FROM (SELECT 1 FROM es_events WHERE es_events.recorded_at >= :since LIMIT :at_most OFFSET :param_1) AS counted;

-- statistics.count_rows('streams')
SELECT count(*) AS count_1 FROM es_streams;

-- statistics.count_rows('events')
SELECT count(*) AS count_1 FROM es_events;

-- statistics.count_rows('snapshots')
SELECT count(*) AS count_1 FROM snapshots;

-- statistics.count_rows('schema')
SELECT count(*) AS count_1 FROM es_schema;

-- statistics.count_rows('checkpoints')
SELECT count(*) AS count_1 FROM es_checkpoints;

-- statistics.count_rows('dead_letters')
SELECT count(*) AS count_1 FROM es_dead_letters;

-- statistics.events_by_category_and_type
SELECT es_events.category, es_events.event_type, count(*) AS count_1
FROM es_events
GROUP BY es_events.category, es_events.event_type;

-- statistics.sample_categories_and_types
WITH RECURSIVE sample(position) AS (
    SELECT min(es_events.position) AS position
    FROM es_events
    UNION ALL
    SELECT (
        SELECT min(es_events.position) AS min_1
        FROM es_events
        WHERE es_events.position >= sample.position + :stride
    ) AS anon_1
    FROM sample
    WHERE sample.position IS NOT NULL
)
SELECT es_events.category, es_events.event_type, count(*) AS count_1
FROM es_events
WHERE es_events.position IN (SELECT sample.position FROM sample WHERE sample.position IS NOT NULL)
GROUP BY es_events.category, es_events.event_type;

-- statistics.streams_by_category
SELECT es_streams.category, count(*) AS count_1 FROM es_streams GROUP BY es_streams.category;

-- statistics.time_now
SELECT (strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS anon_1;

-- transfer.insert_snapshot
INSERT INTO snapshots (version, created_at, schema_version, codec, stream_id, state)
VALUES (:version, :created_at, :schema_version, :codec, :stream_id, :state)
ON CONFLICT (stream_id, schema_version)
DO UPDATE SET
    version = excluded.version,
    created_at = excluded.created_at,
    codec = excluded.codec,
    state = excluded.state
WHERE snapshots.version < excluded.version;

-- transfer.page_of_snapshots
-- with param_1 = 0
SELECT
    snapshots.stream_id,
    snapshots.schema_version,
    snapshots.version,
    snapshots.codec,
    snapshots.state,
    snapshots.created_at
FROM snapshots
WHERE snapshots.stream_id > :after_stream_id
    OR snapshots.stream_id = :after_stream_id
    AND snapshots.schema_version > :after_schema_version
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT :page_size
OFFSET :param_1;

-- transfer.page_of_streams
-- with param_1 = 0
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id > :after_stream_id
ORDER BY es_streams.stream_id
LIMIT :page_size
OFFSET :param_1;

-- transfer.set_imported_head
INSERT INTO es_streams (version, created_at, updated_at, stream_id, deleted_version, archived_version)
VALUES (:version, :created_at, :updated_at, :stream_id, :deleted_version, :archived_version)
ON CONFLICT (stream_id)
DO UPDATE SET
    version = excluded.version,
    created_at =
        CASE
        WHEN (es_streams.version = 0) THEN excluded.created_at
        ELSE es_streams.created_at
        END,
    updated_at = excluded.updated_at,
    deleted_version = excluded.deleted_version,
    archived_version = excluded.archived_version;

-- transfer.set_times_of_stream
UPDATE es_streams
SET
    created_at=:created_at,
    updated_at=CASE
        WHEN (es_streams.version = :at_version) THEN :updated_at
        ELSE es_streams.updated_at
        END
WHERE es_streams.stream_id = :of_stream;

-- verification.breaks_of_stream
-- with lag_1 = 1, version_1 = 1, lag_2 = 1, lag_3 = 0, version_before_1 = 1, param_1 = 0
SELECT placed.version, placed.position, placed.version_before, placed.position_before
FROM (
    SELECT
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.position AS position,
        lag(
            es_events.version,
            :lag_1,
            CASE
                WHEN (es_events.event_type IN ('$stream-deleted', '$stream-archived'))
                    THEN es_events.version - :version_1
                ELSE 0
                END
        ) OVER (PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position) AS version_before,
        lag(es_events.position, :lag_2, :lag_3) OVER (
            PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position
        ) AS position_before
    FROM es_events
    WHERE es_events.stream_id = :stream_id
) AS placed
WHERE placed.version != placed.version_before + :version_before_1
    OR placed.position <= placed.position_before
ORDER BY placed.version, placed.position
LIMIT :page_size
OFFSET :param_1;

-- verification.checkpoints_beyond_log
-- with coalesce_2 = 0
SELECT
    es_checkpoints.name,
    es_checkpoints.position,
    (SELECT coalesce(max(es_events.position), :coalesce_2) AS coalesce_1 FROM es_events) AS anon_1,
    es_checkpoints.event_id
FROM es_checkpoints
WHERE CASE
    WHEN (es_checkpoints.event_id IS NULL)
        THEN es_checkpoints.position > (
            SELECT coalesce(max(newest_event.position), 0) AS coalesce_3
            FROM es_events AS newest_event
        )
    ELSE NOT (
        (
            EXISTS (
                SELECT *
                FROM es_events AS checkpoint_event
                WHERE checkpoint_event.position = es_checkpoints.event_position
                    AND checkpoint_event.event_id = es_checkpoints.event_id
            )
        )
            OR (
                EXISTS (
                    SELECT *
                    FROM es_events AS closing_event
                    WHERE closing_event.stream_id = es_checkpoints.event_stream_id
                        AND closing_event.version > es_checkpoints.event_version
                        AND closing_event.event_type IN ('$stream-deleted', '$stream-archived')
                )
            )
    )
    END = 1
ORDER BY es_checkpoints.name;

-- verification.doubled_positions
-- with count_2 = 1
SELECT es_events.position, count(*) AS count_1
FROM es_events
WHERE es_events.position > :after_position AND es_events.position <= :up_to_position
GROUP BY es_events.position
HAVING count(*) > :count_2
ORDER BY es_events.position;

-- verification.end_of_streams
-- with param_1 = 1
SELECT es_streams.stream_id
FROM es_streams
WHERE es_streams.stream_id > :after
ORDER BY es_streams.stream_id
LIMIT :param_1
OFFSET :skipped;

-- verification.events_without_stream(bounded=False)
-- with param_1 = 0
SELECT es_events.stream_id, count(*) AS count_1, max(es_events.version) AS max_1
FROM es_events
WHERE es_events.stream_id > :after
    AND NOT (EXISTS (SELECT 1 FROM es_streams WHERE es_streams.stream_id = es_events.stream_id))
GROUP BY es_events.stream_id
ORDER BY es_events.stream_id
LIMIT :page_size
OFFSET :param_1;

-- verification.events_without_stream(bounded=True)
-- with param_1 = 0
SELECT es_events.stream_id, count(*) AS count_1, max(es_events.version) AS max_1
FROM es_events
WHERE es_events.stream_id > :after
    AND es_events.stream_id <= :last
    AND NOT (EXISTS (SELECT 1 FROM es_streams WHERE es_streams.stream_id = es_events.stream_id))
GROUP BY es_events.stream_id
ORDER BY es_events.stream_id
LIMIT :page_size
OFFSET :param_1;

-- verification.pending_letters
-- with param_1 = 0
SELECT
    es_dead_letters.projection,
    es_dead_letters.position,
    es_dead_letters.stream_id,
    es_dead_letters.version,
    EXISTS (
        SELECT 1
        FROM es_events
        WHERE es_events.position = es_dead_letters.position
            AND es_events.stream_id = es_dead_letters.stream_id
            AND es_events.version = es_dead_letters.version
    ) AS anon_1
FROM es_dead_letters
WHERE (es_dead_letters.projection, es_dead_letters.position) > (:projection, :position)
    AND es_dead_letters.status = 'pending'
ORDER BY es_dead_letters.projection, es_dead_letters.position
LIMIT :page_size
OFFSET :param_1;

-- verification.snapshot_states
-- with param_1 = 0
SELECT
    snapshots.stream_id,
    snapshots.schema_version,
    snapshots.version,
    snapshots.codec,
    snapshots.state,
    es_streams.version AS version_1
FROM snapshots
LEFT OUTER JOIN es_streams ON es_streams.stream_id = snapshots.stream_id
WHERE (snapshots.stream_id, snapshots.schema_version) > (:stream_id, :schema_version)
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT :page_size
OFFSET :param_1;

-- verification.stream_states(bounded=False)
-- with coalesce_2 = 0, coalesce_4 = 0, version_before_1 = 1, lag_1 = 1, version_1 = 1, lag_2 = 1, lag_3 = 0
SELECT
    es_streams.stream_id,
    es_streams.version,
    coalesce(found.count, :coalesce_2) AS coalesce_1,
    found.newest,
    coalesce(found.breaks, :coalesce_4) AS coalesce_3
FROM es_streams
LEFT OUTER JOIN (
    SELECT
        placed.stream_id AS stream_id,
        count(*) AS count,
        max(placed.version) AS newest,
        count(*) FILTER (
            WHERE placed.version != placed.version_before + :version_before_1
                OR placed.position <= placed.position_before
        ) AS breaks
    FROM (
        SELECT
            es_events.stream_id AS stream_id,
            es_events.version AS version,
            es_events.position AS position,
            lag(
                es_events.version,
                :lag_1,
                CASE
                    WHEN (es_events.event_type IN ('$stream-deleted', '$stream-archived'))
                        THEN es_events.version - :version_1
                    ELSE 0
                    END
            ) OVER (PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position) AS version_before,
            lag(es_events.position, :lag_2, :lag_3) OVER (
                PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position
            ) AS position_before
        FROM es_events
        WHERE es_events.stream_id > :after
    ) AS placed
    GROUP BY placed.stream_id
) AS found
    ON found.stream_id = es_streams.stream_id
WHERE es_streams.stream_id > :after
ORDER BY es_streams.stream_id;

-- verification.stream_states(bounded=True)
-- with coalesce_2 = 0, coalesce_4 = 0, version_before_1 = 1, lag_1 = 1, version_1 = 1, lag_2 = 1, lag_3 = 0
SELECT
    es_streams.stream_id,
    es_streams.version,
    coalesce(found.count, :coalesce_2) AS coalesce_1,
    found.newest,
    coalesce(found.breaks, :coalesce_4) AS coalesce_3
FROM es_streams
LEFT OUTER JOIN (
    SELECT
        placed.stream_id AS stream_id,
        count(*) AS count,
        max(placed.version) AS newest,
        count(*) FILTER (
            WHERE placed.version != placed.version_before + :version_before_1
                OR placed.position <= placed.position_before
        ) AS breaks
    FROM (
        SELECT
            es_events.stream_id AS stream_id,
            es_events.version AS version,
            es_events.position AS position,
            lag(
                es_events.version,
                :lag_1,
                CASE
                    WHEN (es_events.event_type IN ('$stream-deleted', '$stream-archived'))
                        THEN es_events.version - :version_1
                    ELSE 0
                    END
            ) OVER (PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position) AS version_before,
            lag(es_events.position, :lag_2, :lag_3) OVER (
                PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position
            ) AS position_before
        FROM es_events
        WHERE es_events.stream_id > :after AND es_events.stream_id <= :last
    ) AS placed
    GROUP BY placed.stream_id
) AS found
    ON found.stream_id = es_streams.stream_id
WHERE es_streams.stream_id > :after AND es_streams.stream_id <= :last
ORDER BY es_streams.stream_id;


-- ======== written as text

-- backends/sqlite/connections.py: SQLiteConnections._autocommit_connection
COMMIT;

-- backends/sqlite/connections.py: direct
COMMIT;

-- backends/sqlite/connections.py: is_same_transaction
RELEASE SAVEPOINT {…};

-- backends/sqlite/connections.py: mark_transaction
SAVEPOINT {…};

-- backends/sqlite/engines.py: begin_before_savepoints.begin_first
BEGIN IMMEDIATE;

-- backends/sqlite/engines.py: prepare_engine._on_connect
PRAGMA foreign_keys = ON;

-- backends/sqlite/engines.py: prepare_engine._on_connect
PRAGMA synchronous = FULL;

-- backends/sqlite/engines.py: prepare_engine._on_connect
PRAGMA journal_mode = WAL;

-- backends/sqlite/settings.py: check_connection
PRAGMA {…};

-- backends/sqlite/write_lock.py: write_lock
PRAGMA busy_timeout;

-- backends/sqlite/write_lock.py: write_lock
PRAGMA busy_timeout = 0;

-- backends/sqlite/write_lock.py: write_lock
BEGIN IMMEDIATE;

-- backends/sqlite/write_lock.py: write_lock
PRAGMA busy_timeout = {…};

-- backends/sqlite/write_lock.py: write_lock
COMMIT;

-- backends/sqlite/write_lock.py: write_lock
ROLLBACK;

-- contrib/django/sqlite.py: DjangoSQLite.defer_foreign_keys
PRAGMA defer_foreign_keys = ON;

-- core/execution.py: JoinedTransaction.transaction
SAVEPOINT eventstore;

-- core/execution.py: JoinedTransaction.transaction
ROLLBACK TO SAVEPOINT eventstore;

-- core/execution.py: JoinedTransaction.transaction
RELEASE SAVEPOINT eventstore;


-- ======== on tables before version 6

-- closing.find_end
SELECT es_streams.version, es_events.event_type AS event_type, es_events.codec, es_events.data
FROM es_streams
LEFT OUTER JOIN es_events
    ON es_events.stream_id = es_streams.stream_id
        AND es_events.version = es_streams.version
        AND es_events.event_type IN ('$stream-deleted', '$stream-archived')
WHERE es_streams.stream_id = :stream_id;

-- heads.advance_existing_head
-- with version_1 = 0
UPDATE es_streams
SET version=(es_streams.version + :count), updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE es_streams.stream_id = :stream_id AND 1 = 1 AND es_streams.version > :version_1
RETURNING version;

-- heads.advance_head
UPDATE es_streams
SET version=(es_streams.version + :count), updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE es_streams.stream_id = :stream_id AND 1 = 1 AND es_streams.version = :expected
RETURNING version;

-- heads.create_or_advance_head
INSERT INTO es_streams (version, stream_id)
VALUES (:count, :stream_id)
ON CONFLICT (stream_id)
DO UPDATE SET
    version = (es_streams.version + :count),
    updated_at = (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE 1 = 1
RETURNING version;
