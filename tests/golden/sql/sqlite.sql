-- What the store sends to sqlite. Made by `python -m tests.golden_sql`: change the code, not this file.


-- ======== statements

-- aggregates.count_streams
SELECT count(*) AS streams
FROM es_streams
WHERE es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category;

-- aggregates.load_aggregate
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
    NULL AS position,
    NULL AS stream_id,
    snapshot.version AS version,
    NULL AS event_id,
    NULL AS event_type,
    snapshot.schema_version AS schema_version,
    snapshot.codec AS codec,
    snapshot.state AS data,
    NULL AS metadata,
    NULL AS recorded_at
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
    LIMIT (SELECT :page_size AS page_size)
) AS tail;

-- aggregates.snapshot_versions
SELECT es_streams.stream_id, es_streams.version, coalesce(snapshots.version, 0) AS snapshot_version
FROM es_streams
LEFT OUTER JOIN snapshots
    ON snapshots.stream_id = es_streams.stream_id AND snapshots.schema_version = :schema_version
WHERE es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category
    AND es_streams.stream_id > :after_stream_id
ORDER BY es_streams.stream_id
LIMIT :page_size;

-- aggregates.version_as_of
SELECT es_events.version
FROM es_events
WHERE es_events.stream_id = :stream_id AND es_events.recorded_at <= :as_of
ORDER BY es_events.version DESC
LIMIT 1;

-- boundaries.find_event_at
SELECT es_events.stream_id, es_events.event_type FROM es_events WHERE es_events.position = :position;

-- boundaries.raise_generation
INSERT INTO es_event_tags (position, tag, event_type)
SELECT coalesce(max(tag.position), 0) + 1 AS position, '' AS tag, '' AS event_type
FROM es_event_tags AS tag
WHERE tag.tag = '';

-- browsing.count_some_streams
SELECT count(*) AS streams FROM (SELECT 1 AS one FROM es_streams LIMIT :at_most + 1) AS counted;

-- browsing.count_tag
SELECT count(*) AS events
FROM (
    SELECT 1 AS one
    FROM es_event_tags
    WHERE es_event_tags.tag = :tag
    ORDER BY es_event_tags.position
    LIMIT 1001
) AS counted;

-- browsing.dead_letters_before
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
WHERE es_dead_letters.projection = :projection AND es_dead_letters.position < :before_position
ORDER BY es_dead_letters.position DESC
LIMIT 201;

-- browsing.end_of_window
SELECT es_event_tags.position
FROM es_event_tags
WHERE es_event_tags.tag = :tag AND es_event_tags.position < :before_position
ORDER BY es_event_tags.position DESC
LIMIT 1
OFFSET 999;

-- browsing.ends_of_log
SELECT (SELECT es_events.position FROM es_events ORDER BY es_events.position LIMIT 1) AS lowest,
(SELECT es_events.position FROM es_events ORDER BY es_events.position DESC LIMIT 1) AS highest;

-- browsing.events_of_tags(0)
SELECT
    window_of_tag.position,
    window_of_tag.event_type,
    (SELECT es_events.stream_id FROM es_events WHERE es_events.position = window_of_tag.position) AS stream_id,
    (SELECT es_events.version FROM es_events WHERE es_events.position = window_of_tag.position) AS version,
    (SELECT es_events.recorded_at FROM es_events WHERE es_events.position = window_of_tag.position) AS recorded_at
FROM (
    SELECT own.position AS position, own.event_type AS event_type
    FROM es_event_tags AS own
    WHERE own.tag = :tag AND own.position < :before_position
    ORDER BY own.position DESC
    LIMIT 201
) AS window_of_tag
ORDER BY window_of_tag.position DESC
LIMIT 201;

-- browsing.events_of_tags(2)
SELECT
    window_of_tag.position,
    window_of_tag.event_type,
    (SELECT es_events.stream_id FROM es_events WHERE es_events.position = window_of_tag.position) AS stream_id,
    (SELECT es_events.version FROM es_events WHERE es_events.position = window_of_tag.position) AS version,
    (SELECT es_events.recorded_at FROM es_events WHERE es_events.position = window_of_tag.position) AS recorded_at
FROM (
    SELECT own.position AS position, own.event_type AS event_type
    FROM es_event_tags AS own
    WHERE own.tag = :tag AND own.position < :before_position
    ORDER BY own.position DESC
    LIMIT 1000
) AS window_of_tag
WHERE (
    SELECT 1 AS one
    FROM es_event_tags AS tags_0
    WHERE tags_0.tag = :tags_0 AND tags_0.position = window_of_tag.position
) = 1
    AND (
        SELECT 1 AS one
        FROM es_event_tags AS tags_1
        WHERE tags_1.tag = :tags_1 AND tags_1.position = window_of_tag.position
    ) = 1
ORDER BY window_of_tag.position DESC
LIMIT 201;

-- browsing.find_dead_letter
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
WHERE es_dead_letters.projection = :projection AND es_dead_letters.position = :at_position;

-- browsing.heads_of_recent_events(of_category=False)
WITH recent AS (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_type AS event_type,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position < :before_position AND es_events.position >= :from_position
    ORDER BY es_events.position DESC
    LIMIT 1000
)
SELECT
    recent.position,
    recent.stream_id,
    recent.version,
    recent.event_type,
    recent.recorded_at,
    (SELECT head.version FROM es_streams AS head WHERE head.stream_id = recent.stream_id) AS head_version
FROM recent
ORDER BY recent.position DESC;

-- browsing.heads_of_recent_events(of_category=True)
WITH recent AS (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_type AS event_type,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE (es_events.category, es_events.position) < (:category, :before_position)
        AND es_events.category >= :category
    ORDER BY es_events.category DESC, es_events.position DESC
    LIMIT 1000
)
SELECT
    recent.position,
    recent.stream_id,
    recent.version,
    recent.event_type,
    recent.recorded_at,
    (SELECT head.version FROM es_streams AS head WHERE head.stream_id = recent.stream_id) AS head_version
FROM recent
ORDER BY recent.position DESC;

-- browsing.largest_streams_of_sample(of_category=False)
WITH RECURSIVE sample(position) AS (
    SELECT (SELECT es_events.position FROM es_events ORDER BY es_events.position LIMIT 1) AS position
    UNION ALL
    SELECT (
        SELECT es_events.position
        FROM es_events
        WHERE es_events.position >= sample.position + :stride
        ORDER BY es_events.position
        LIMIT 1
    ) AS position
    FROM sample
    WHERE sample.position IS NOT NULL
)
SELECT
    largest.stream_id,
    largest.version,
    (SELECT head.created_at FROM es_streams AS head WHERE head.stream_id = largest.stream_id) AS created_at,
    (SELECT head.updated_at FROM es_streams AS head WHERE head.stream_id = largest.stream_id) AS updated_at
FROM (
    SELECT
        sampled.stream_id AS stream_id,
        (SELECT head.version FROM es_streams AS head WHERE head.stream_id = sampled.stream_id) AS version
    FROM (
        SELECT DISTINCT (SELECT es_events.stream_id FROM es_events WHERE es_events.position = sample.position) AS stream_id
        FROM sample
        WHERE sample.position IS NOT NULL
    ) AS sampled
    WHERE sampled.stream_id IS NOT NULL
    ORDER BY version DESC, sampled.stream_id
    LIMIT 200
) AS largest
ORDER BY largest.version DESC, largest.stream_id;

-- browsing.largest_streams_of_sample(of_category=True)
WITH RECURSIVE sample(position) AS (
    SELECT (SELECT es_events.position FROM es_events ORDER BY es_events.position LIMIT 1) AS position
    UNION ALL
    SELECT (
        SELECT es_events.position
        FROM es_events
        WHERE es_events.position >= sample.position + :stride
        ORDER BY es_events.position
        LIMIT 1
    ) AS position
    FROM sample
    WHERE sample.position IS NOT NULL
)
SELECT
    largest.stream_id,
    largest.version,
    (SELECT head.created_at FROM es_streams AS head WHERE head.stream_id = largest.stream_id) AS created_at,
    (SELECT head.updated_at FROM es_streams AS head WHERE head.stream_id = largest.stream_id) AS updated_at
FROM (
    SELECT
        sampled.stream_id AS stream_id,
        (SELECT head.version FROM es_streams AS head WHERE head.stream_id = sampled.stream_id) AS version
    FROM (
        SELECT DISTINCT (SELECT es_events.stream_id FROM es_events WHERE es_events.position = sample.position) AS stream_id
        FROM sample
        WHERE sample.position IS NOT NULL
    ) AS sampled
    WHERE sampled.stream_id IS NOT NULL
        AND (SELECT head.category FROM es_streams AS head WHERE head.stream_id = sampled.stream_id) = :category
    ORDER BY version DESC, sampled.stream_id
    LIMIT 200
) AS largest
ORDER BY largest.version DESC, largest.stream_id;

-- browsing.pending_dead_letters_from
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
    AND es_dead_letters.status = 'pending'
    AND (es_dead_letters.stream_id, es_dead_letters.position) >= (:from_id, :from_position)
ORDER BY es_dead_letters.stream_id, es_dead_letters.position
LIMIT 201;

-- browsing.position_before
SELECT es_events.position
FROM es_events
WHERE es_events.position < :before_position
ORDER BY es_events.position DESC
LIMIT 1;

-- browsing.projections_from
SELECT es_checkpoints.name
FROM es_checkpoints
WHERE es_checkpoints.partition_of IS NULL AND es_checkpoints.name >= :from_name
ORDER BY es_checkpoints.name
LIMIT 51;

-- browsing.snapshots_from
SELECT
    snapshots.stream_id,
    snapshots.schema_version,
    snapshots.version,
    snapshots.codec,
    length(snapshots.state) AS bytes,
    snapshots.created_at,
    (SELECT head.version FROM es_streams AS head WHERE head.stream_id = snapshots.stream_id) AS stream_version
FROM snapshots
WHERE (snapshots.stream_id, snapshots.schema_version) >= (:from_id, :from_schema_version)
    AND snapshots.stream_id < :to_id
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT 201;

-- browsing.some_by_event_id
SELECT
    es_events.position,
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.recorded_at,
    CAST(json_extract(metadata, '$.causation_id') AS TEXT) AS causation_id
FROM es_events
WHERE es_events.event_id >= :value AND es_events.event_id <= :value
ORDER BY es_events.event_id
LIMIT 201;

-- browsing.some_by_metadata('correlation_id')
SELECT
    es_events.position,
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.recorded_at,
    CAST(json_extract(metadata, '$.causation_id') AS TEXT) AS causation_id
FROM es_events
WHERE CAST(json_extract(metadata, '$.correlation_id') AS TEXT) >= :value
    AND CAST(json_extract(metadata, '$.correlation_id') AS TEXT) <= :value
ORDER BY CAST(json_extract(metadata, '$.correlation_id') AS TEXT)
LIMIT 201;

-- browsing.some_by_metadata('causation_id')
SELECT
    es_events.position,
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.recorded_at,
    CAST(json_extract(metadata, '$.causation_id') AS TEXT) AS causation_id
FROM es_events
WHERE CAST(json_extract(metadata, '$.causation_id') AS TEXT) >= :value
    AND CAST(json_extract(metadata, '$.causation_id') AS TEXT) <= :value
ORDER BY CAST(json_extract(metadata, '$.causation_id') AS TEXT)
LIMIT 201;

-- browsing.streams_from
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= :from_id AND es_streams.stream_id < :to_id
ORDER BY es_streams.stream_id
LIMIT 201;

-- browsing.tags_from
WITH RECURSIVE found(tag, number) AS (
    SELECT
        (
            SELECT first_tag.tag
            FROM es_event_tags AS first_tag
            WHERE first_tag.tag >= :from_tag AND first_tag.tag < :to_tag
            ORDER BY first_tag.tag
            LIMIT 1
        ) AS tag,
        1 AS number
    UNION ALL
    SELECT
        (
            SELECT next_tag.tag
            FROM es_event_tags AS next_tag
            WHERE next_tag.tag > found.tag AND next_tag.tag < :to_tag
            ORDER BY next_tag.tag
            LIMIT 1
        ) AS tag,
        found.number + 1 AS number
    FROM found
    WHERE found.tag IS NOT NULL AND found.number < 201
)
SELECT
    found.tag,
    (
        SELECT count(*) AS number
        FROM (
            SELECT 1 AS one
            FROM es_event_tags AS tag
            WHERE tag.tag = found.tag
            ORDER BY tag.position
            LIMIT 1001
        ) AS counted
    ) AS events,
    (
        SELECT tag.position
        FROM es_event_tags AS tag
        WHERE tag.tag = found.tag
        ORDER BY tag.position DESC
        LIMIT 1
    ) AS newest
FROM found
WHERE found.tag IS NOT NULL
ORDER BY found.number;

-- browsing.tags_of_recent_events
SELECT CAST(json_extract(metadata, '$."$tags"') AS TEXT) AS tags
FROM es_events
WHERE es_events.position >= :from_position
ORDER BY es_events.position DESC
LIMIT 1000;

-- deletion.delete_events
DELETE FROM es_events WHERE es_events.stream_id = :stream_id AND es_events.version < :before_version;

-- deletion.discard_dead_letters_of_stream
UPDATE es_dead_letters
SET closed_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')), status='discarded', note=:note
WHERE es_dead_letters.status = 'pending' AND es_dead_letters.stream_id = :stream_id;

-- deletion.find_tombstone
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

-- deletion.mark_archived
UPDATE es_streams SET archived_version=es_streams.version WHERE es_streams.stream_id = :stream_id;

-- deletion.mark_deleted
UPDATE es_streams SET deleted_version=es_streams.version WHERE es_streams.stream_id = :stream_id;

-- detached.detached_parts
SELECT CAST(NULL AS TEXT) AS part, 0 AS events WHERE 1 = 0;

-- detached.part_after
SELECT CAST(NULL AS TEXT) AS part WHERE 1 = 0;

-- detached.part_at
SELECT CAST(NULL AS TEXT) AS part WHERE 1 = 0;

-- detached.part_of_stream
SELECT CAST(NULL AS TEXT) AS part WHERE 1 = 0;

-- detached.part_of_tags
SELECT CAST(NULL AS TEXT) AS part WHERE 1 = 0;

-- event_types.event_type_spans
WITH RECURSIVE present(event_type) AS (
    SELECT min(es_events.event_type) AS event_type
    FROM es_events
    UNION ALL
    SELECT (
        SELECT min(es_events.event_type) AS event_type
        FROM es_events
        WHERE es_events.event_type > present.event_type
    ) AS event_type
    FROM present
    WHERE present.event_type IS NOT NULL
)
SELECT
    present.event_type,
    (
        SELECT min(es_events.position) AS position
        FROM es_events
        WHERE es_events.event_type = present.event_type
    ) AS first_position,
    (
        SELECT max(es_events.position) AS position
        FROM es_events
        WHERE es_events.event_type = present.event_type
    ) AS last_position
FROM present
WHERE present.event_type IS NOT NULL
ORDER BY present.event_type;

-- event_types.sample_events
WITH RECURSIVE sample(position) AS (
    SELECT CAST(:first AS BIGINT) AS position
    UNION ALL
    SELECT coalesce(
        (
            SELECT min(es_events.position) AS position
            FROM es_events
            WHERE es_events.event_type = :event_type
                AND es_events.position >= sample.position + :stride
                AND es_events.position <= :last
        ),
        :last
    ) AS position
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

-- global_order.first_event_from
SELECT es_events.position, es_events.event_id, es_events.stream_id, es_events.version
FROM es_events
WHERE es_events.position >= :position
ORDER BY es_events.position
LIMIT 1;

-- global_order.newest_position
SELECT coalesce(max(es_events.position), 0) AS position FROM es_events;

-- global_order.page_of_events
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
LIMIT :page_size;

-- global_order.tombstone_after
SELECT es_events.position
FROM es_events
WHERE es_events.stream_id = :stream_id
    AND es_events.version > :version
    AND es_events.event_type IN ('$stream-deleted', '$stream-archived')
ORDER BY es_events.version DESC
LIMIT 1;

-- heads.write_head(Expectation.NEW)
INSERT INTO es_streams (version, stream_id)
VALUES (:count, :stream_id)
ON CONFLICT (stream_id)
DO NOTHING
RETURNING version;

-- heads.write_head(Expectation.VERSION)
UPDATE es_streams
SET version=(es_streams.version + :count), updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE es_streams.stream_id = :stream_id
    AND es_streams.deleted_version IS NULL
    AND es_streams.archived_version IS NULL
    AND es_streams.version = :expected
RETURNING version;

-- heads.write_head(Expectation.EXISTING)
UPDATE es_streams
SET version=(es_streams.version + :count), updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE es_streams.stream_id = :stream_id
    AND es_streams.deleted_version IS NULL
    AND es_streams.archived_version IS NULL
    AND es_streams.version > 0
RETURNING version;

-- heads.write_head(Expectation.NOTHING)
INSERT INTO es_streams (version, stream_id)
VALUES (:count, :stream_id)
ON CONFLICT (stream_id)
DO UPDATE SET version = (es_streams.version + :count), updated_at = excluded.updated_at
WHERE es_streams.deleted_version IS NULL AND es_streams.archived_version IS NULL
RETURNING version;

-- listing.find_stream
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id = :stream_id;

-- listing.list_snapshots(of_category=False)
SELECT
    snapshots.stream_id,
    snapshots.schema_version,
    snapshots.version,
    snapshots.codec,
    length(snapshots.state) AS bytes,
    snapshots.created_at,
    es_streams.version AS stream_version
FROM snapshots
JOIN es_streams ON es_streams.stream_id = snapshots.stream_id
WHERE (snapshots.stream_id, snapshots.schema_version) > (:after_stream_id, :after_schema_version)
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT :page_size;

-- listing.list_snapshots(of_category=True)
SELECT
    snapshots.stream_id,
    snapshots.schema_version,
    snapshots.version,
    snapshots.codec,
    length(snapshots.state) AS bytes,
    snapshots.created_at,
    es_streams.version AS stream_version
FROM snapshots
JOIN es_streams ON es_streams.stream_id = snapshots.stream_id
WHERE (snapshots.stream_id, snapshots.schema_version) > (:after_stream_id, :after_schema_version)
    AND snapshots.stream_id >= :category
    AND snapshots.stream_id < (:category || '.')
    AND es_streams.category = :category
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT :page_size;

-- listing.list_streams(StreamOrder.ID, of_category=False, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id > :after_stream_id
ORDER BY es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.ID, of_category=False, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
ORDER BY es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.ID, of_category=True, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category
    AND es_streams.stream_id > :after_stream_id
ORDER BY es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.ID, of_category=True, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category
ORDER BY es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.SIZE, of_category=False, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.version < :after_version
    OR es_streams.version = :after_version
    AND es_streams.stream_id > :after_stream_id
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.SIZE, of_category=False, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.SIZE, of_category=True, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category
    AND (
        es_streams.version < :after_version
            OR es_streams.version = :after_version
            AND es_streams.stream_id > :after_stream_id
    )
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.SIZE, of_category=True, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.RECENT, of_category=False, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.updated_at < :after_time
    OR es_streams.updated_at = :after_time
    AND es_streams.stream_id > :after_stream_id
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.RECENT, of_category=False, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.RECENT, of_category=True, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category
    AND (
        es_streams.updated_at < :after_time
            OR es_streams.updated_at = :after_time
            AND es_streams.stream_id > :after_stream_id
    )
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT :page_size;

-- listing.list_streams(StreamOrder.RECENT, of_category=True, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT :page_size;

-- listing.snapshot_coverage(of_category=False)
SELECT
    count(*) AS streams,
    count(newest.stream_id) AS with_snapshot,
    coalesce(sum(es_streams.version - coalesce(newest.version, 0)), 0) AS events_after,
    coalesce(max(es_streams.version - coalesce(newest.version, 0)), 0) AS most_events_after
FROM es_streams
LEFT OUTER JOIN (
    SELECT snapshots.stream_id AS stream_id, max(snapshots.version) AS version
    FROM snapshots
    GROUP BY snapshots.stream_id
) AS newest
    ON newest.stream_id = es_streams.stream_id
WHERE es_streams.version >= :min_version;

-- listing.snapshot_coverage(of_category=True)
SELECT
    count(*) AS streams,
    count(newest.stream_id) AS with_snapshot,
    coalesce(sum(es_streams.version - coalesce(newest.version, 0)), 0) AS events_after,
    coalesce(max(es_streams.version - coalesce(newest.version, 0)), 0) AS most_events_after
FROM es_streams
LEFT OUTER JOIN (
    SELECT snapshots.stream_id AS stream_id, max(snapshots.version) AS version
    FROM snapshots
    GROUP BY snapshots.stream_id
) AS newest
    ON newest.stream_id = es_streams.stream_id
WHERE es_streams.version >= :min_version
    AND es_streams.stream_id >= :category
    AND es_streams.stream_id < (:category || '.')
    AND es_streams.category = :category;

-- lookups.find_by_event_id
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
WHERE es_events.position + 0 > :after_position AND es_events.event_id = :value
ORDER BY es_events.position + 0
LIMIT :page_size;

-- lookups.find_by_metadata('correlation_id')
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
WHERE es_events.position + 0 > :after_position
    AND CAST(json_extract(metadata, '$.correlation_id') AS TEXT) = :value
ORDER BY es_events.position + 0
LIMIT :page_size;

-- lookups.find_by_metadata('causation_id')
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
WHERE es_events.position + 0 > :after_position
    AND CAST(json_extract(metadata, '$.causation_id') AS TEXT) = :value
ORDER BY es_events.position + 0
LIMIT :page_size;

-- lookups.first_and_last
SELECT
    first.position,
    first.stream_id,
    first.version,
    first.event_id,
    first.event_type,
    first.schema_version,
    first.codec,
    first.data,
    first.metadata,
    first.recorded_at
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
    ORDER BY es_events.version
    LIMIT 1
) AS first
UNION ALL
SELECT
    last.position,
    last.stream_id,
    last.version,
    last.event_id,
    last.event_type,
    last.schema_version,
    last.codec,
    last.data,
    last.metadata,
    last.recorded_at
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
    ORDER BY es_events.version DESC
    LIMIT 1
) AS last;

-- parts.ends_of_part('a_part')
SELECT
    count(*) AS events,
    min(event.position) AS first_position,
    max(event.position) AS last_position
FROM a_part AS event;

-- parts.page_of_part('a_part')
SELECT
    event.position,
    event.stream_id,
    event.version,
    event.event_id,
    event.event_type,
    event.schema_version,
    event.codec,
    event.data,
    CAST(event.metadata AS TEXT) AS metadata,
    event.recorded_at
FROM a_part AS event
WHERE event.position > :after_position
ORDER BY event.position
LIMIT :page_size;

-- parts.page_of_part_by_stream('a_part')
SELECT
    event.position,
    event.stream_id,
    event.version,
    event.event_id,
    event.event_type,
    event.schema_version,
    event.codec,
    event.data,
    CAST(event.metadata AS TEXT) AS metadata,
    event.recorded_at
FROM a_part AS event
WHERE (event.stream_id, event.version) > (:after_stream_id, :after_version)
ORDER BY event.stream_id, event.version
LIMIT :page_size;

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
    :projection AS projection,
    :attempts AS attempts,
    :error AS error,
    'pending' AS status
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

-- projections.begin_partition
INSERT INTO es_checkpoints (
    position,
    name,
    event_position,
    event_id,
    event_stream_id,
    event_version,
    started_after,
    outside_after,
    partitions,
    partition_number,
    partition_of
)
VALUES (
    :position,
    :name,
    :event_position,
    :event_id,
    :event_stream_id,
    :event_version,
    :started_after,
    :outside_after,
    :partitions,
    :partition_number,
    :partition_of
)
ON CONFLICT (name)
DO NOTHING
RETURNING name;

-- projections.begin_projection
INSERT INTO es_checkpoints (
    position,
    name,
    event_position,
    event_id,
    event_stream_id,
    event_version,
    started_after,
    outside_after,
    partitions
)
VALUES (
    :position,
    :name,
    :event_position,
    :event_id,
    :event_stream_id,
    :event_version,
    :started_after,
    :outside_after,
    :partitions
)
ON CONFLICT (name)
DO NOTHING
RETURNING name;

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
SELECT es_dead_letters.projection, count(*) AS pending
FROM es_dead_letters
WHERE es_dead_letters.status = 'pending'
GROUP BY es_dead_letters.projection;

-- projections.count_events_after
SELECT count(*) AS events
FROM (SELECT 1 AS event FROM es_events WHERE es_events.position > :after_position LIMIT :at_most) AS counted;

-- projections.count_pending_after
SELECT count(*) AS pending
FROM es_dead_letters
WHERE es_dead_letters.projection = :projection
    AND es_dead_letters.status = 'pending'
    AND es_dead_letters.position > :after_position;

-- projections.count_some_dead_letters
SELECT count(*) AS pending
FROM (
    SELECT es_dead_letters.position AS position
    FROM es_dead_letters
    WHERE es_dead_letters.projection = :projection AND es_dead_letters.status = 'pending'
    ORDER BY es_dead_letters.stream_id, es_dead_letters.position
    LIMIT :at_most
) AS counted;

-- projections.create_checkpoint
INSERT INTO es_checkpoints (position, name) VALUES (:position, :name) ON CONFLICT (name) DO NOTHING;

-- projections.delete_checkpoint
DELETE FROM es_checkpoints WHERE es_checkpoints.name = :name;

-- projections.delete_dead_letters
DELETE FROM es_dead_letters WHERE es_dead_letters.projection = :projection;

-- projections.delete_dead_letters_after
DELETE FROM es_dead_letters
WHERE es_dead_letters.projection = :projection AND es_dead_letters.position > :after_position;

-- projections.delete_partitions
DELETE FROM es_checkpoints WHERE es_checkpoints.partition_of = :projection;

-- projections.fail_dead_letter
UPDATE es_dead_letters
SET
    last_failed_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    attempts=(es_dead_letters.attempts + 1),
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
    (strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS now,
    es_checkpoints.failed_at,
    es_checkpoints.event_position,
    es_checkpoints.event_id,
    es_checkpoints.event_stream_id,
    es_checkpoints.event_version,
    (
        SELECT checkpoint_event.event_id
        FROM es_events AS checkpoint_event
        WHERE checkpoint_event.position = es_checkpoints.event_position
    ) AS id_there,
    es_checkpoints.partitions,
    es_checkpoints.next_partitions,
    es_checkpoints.started_after,
    es_checkpoints.outside_after
FROM es_checkpoints
WHERE es_checkpoints.name = :name;

-- projections.find_checkpoints
SELECT
    coalesce(es_checkpoints.partition_of, es_checkpoints.name) AS name,
    es_checkpoints.position,
    es_checkpoints.worker,
    es_checkpoints.failure,
    es_checkpoints.updated_at,
    es_checkpoints.seen_at,
    es_checkpoints.failed_at,
    (strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS now,
    CASE
        WHEN (es_checkpoints.event_id IS NULL)
            THEN es_checkpoints.position > (
                SELECT coalesce(max(newest_event.position), 0) AS position
                FROM es_events AS newest_event
            )
        AND es_checkpoints.position < 9223372036854775807
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
                            FROM es_events AS tombstone
                            WHERE tombstone.stream_id = es_checkpoints.event_stream_id
                                AND tombstone.version > es_checkpoints.event_version
                                AND tombstone.event_type IN ('$stream-deleted', '$stream-archived')
                        )
                    )
            )
            END AS has_log_gone_back,
    es_checkpoints.partition_number,
    es_checkpoints.partitions,
    es_checkpoints.started_after,
    (
        SELECT projection.next_partitions
        FROM es_checkpoints AS projection
        WHERE projection.name = es_checkpoints.partition_of
    ) AS next_partitions
FROM es_checkpoints
WHERE es_checkpoints.partitions = 1 OR es_checkpoints.partition_of IS NOT NULL
ORDER BY 1, es_checkpoints.partition_number;

-- projections.find_dead_letters
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
LIMIT :page_size;

-- projections.find_partitions
SELECT
    es_checkpoints.name,
    es_checkpoints.position,
    es_checkpoints.event_position,
    es_checkpoints.event_id,
    es_checkpoints.event_stream_id,
    es_checkpoints.event_version,
    (
        SELECT checkpoint_event.event_id
        FROM es_events AS checkpoint_event
        WHERE checkpoint_event.position = es_checkpoints.event_position
    ) AS id_there,
    es_checkpoints.seen_at,
    es_checkpoints.worker,
    es_checkpoints.failure,
    es_checkpoints.failed_at,
    es_checkpoints.stop_position,
    es_checkpoints.partition_number,
    es_checkpoints.started_after,
    es_checkpoints.outside_after
FROM es_checkpoints
WHERE es_checkpoints.partition_of = :projection
ORDER BY es_checkpoints.position, es_checkpoints.partition_number;

-- projections.first_event_since
SELECT min(es_events.position + 0) AS position FROM es_events WHERE es_events.recorded_at >= :since;

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
WHERE es_checkpoints.name = :name AND es_checkpoints.partitions = 1;

-- projections.lock_partition
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
    ) AS id_there,
    es_checkpoints.name,
    es_checkpoints.partitions,
    es_checkpoints.partition_number,
    es_checkpoints.stop_position,
    es_checkpoints.outside_after
FROM es_checkpoints
WHERE es_checkpoints.partition_of = :projection
    AND es_checkpoints.position < :settled_position
    AND (
        es_checkpoints.stop_position IS NULL
            OR es_checkpoints.position < es_checkpoints.stop_position
    )
    AND :left_out NOT LIKE ('%,' || CAST(es_checkpoints.partition_number AS TEXT) || ',%')
ORDER BY
    CASE WHEN (es_checkpoints.failure IS NULL) THEN 0 ELSE 1 END,
    es_checkpoints.failed_at NULLS LAST,
    es_checkpoints.position,
    es_checkpoints.partition_number
LIMIT 1;

-- projections.lock_projection
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
    ) AS id_there,
    es_checkpoints.name,
    es_checkpoints.partitions,
    es_checkpoints.partition_number,
    es_checkpoints.stop_position,
    es_checkpoints.outside_after
FROM es_checkpoints
WHERE es_checkpoints.name = :name;

-- projections.lock_row
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
    ) AS id_there,
    es_checkpoints.name,
    es_checkpoints.partitions,
    es_checkpoints.partition_number,
    es_checkpoints.stop_position,
    es_checkpoints.outside_after
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

-- projections.mark_stopped_in_partitions
UPDATE es_checkpoints
SET seen_at=NULL
WHERE es_checkpoints.name IN (
    SELECT es_checkpoints.name
    FROM es_checkpoints
    WHERE es_checkpoints.partition_of = :projection AND es_checkpoints.worker = :worker
);

-- projections.move_partition
UPDATE es_checkpoints
SET name=:new_name, partition_of=:new_partition_of
WHERE es_checkpoints.name = :name;

-- projections.names_of_projections
SELECT es_checkpoints.name
FROM es_checkpoints
WHERE es_checkpoints.partition_of IS NULL
ORDER BY es_checkpoints.name;

-- projections.next_event_time
SELECT es_events.recorded_at
FROM es_events
WHERE es_events.position > :after_position
ORDER BY es_events.position
LIMIT 1;

-- projections.plan_partitions
UPDATE es_checkpoints SET next_partitions=:next_partitions WHERE es_checkpoints.name = :name;

-- projections.projection_health
SELECT
    coalesce(es_checkpoints.partition_of, es_checkpoints.name) AS name,
    es_checkpoints.position,
    (
        SELECT count(*) AS number
        FROM (
            SELECT es_events.position AS position
            FROM es_events
            WHERE es_events.position > es_checkpoints.position
            LIMIT :at_most
        ) AS behind
    ) AS behind,
    (
        SELECT es_events.recorded_at
        FROM es_events
        WHERE es_events.position > es_checkpoints.position
        ORDER BY es_events.position
        LIMIT 1
    ) AS oldest,
    (
        SELECT count(*) AS number
        FROM (
            SELECT es_dead_letters.position AS position
            FROM es_dead_letters
            WHERE es_dead_letters.projection = coalesce(es_checkpoints.partition_of, es_checkpoints.name)
                AND es_dead_letters.status = 'pending'
            LIMIT :at_most
        ) AS pending
    ) AS dead_letters,
    es_checkpoints.failure,
    es_checkpoints.failed_at,
    (strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS now,
    CASE
        WHEN (es_checkpoints.event_id IS NULL)
            THEN es_checkpoints.position > (
                SELECT coalesce(max(newest_event.position), 0) AS position
                FROM es_events AS newest_event
            )
        AND es_checkpoints.position < 9223372036854775807
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
                            FROM es_events AS tombstone
                            WHERE tombstone.stream_id = es_checkpoints.event_stream_id
                                AND tombstone.version > es_checkpoints.event_version
                                AND tombstone.event_type IN ('$stream-deleted', '$stream-archived')
                        )
                    )
            )
            END AS has_log_gone_back,
    es_checkpoints.partition_number,
    es_checkpoints.worker,
    es_checkpoints.seen_at,
    es_checkpoints.updated_at,
    es_checkpoints.started_after
FROM es_checkpoints
WHERE es_checkpoints.partitions = 1 OR es_checkpoints.partition_of IS NOT NULL
ORDER BY 1, es_checkpoints.partition_number;

-- projections.read_pending
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
LIMIT :page_size;

-- projections.release_partitions
UPDATE es_checkpoints SET stop_position=NULL WHERE es_checkpoints.partition_of = :projection;

-- projections.rename_checkpoint
UPDATE es_checkpoints SET name=:new_name WHERE es_checkpoints.name = :name;

-- projections.rename_dead_letters
UPDATE es_dead_letters SET projection=:new_name WHERE es_dead_letters.projection = :name;

-- projections.reset_checkpoint
UPDATE es_checkpoints
SET
    position=es_checkpoints.started_after,
    updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    failed_at=NULL,
    failure=NULL,
    event_position=NULL,
    event_id=NULL,
    event_stream_id=NULL,
    event_version=NULL,
    outside_after=CASE
        WHEN (es_checkpoints.outside_after < es_checkpoints.position) THEN es_checkpoints.position
        ELSE es_checkpoints.outside_after
        END
WHERE es_checkpoints.name = :name;

-- projections.set_back_checkpoint
UPDATE es_checkpoints
SET
    position=CASE
        WHEN (es_checkpoints.position > :after_position) THEN :after_position
        ELSE es_checkpoints.position
        END,
    updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    failed_at=NULL,
    failure=NULL,
    event_position=NULL,
    event_id=NULL,
    event_stream_id=NULL,
    event_version=NULL,
    outside_after=CASE
        WHEN (es_checkpoints.outside_after < es_checkpoints.position) THEN es_checkpoints.position
        ELSE es_checkpoints.outside_after
        END
WHERE es_checkpoints.name = :name;

-- projections.set_outside_after
UPDATE es_checkpoints SET outside_after=:outside_after WHERE es_checkpoints.name = :name;

-- projections.set_partitions
UPDATE es_checkpoints
SET
    position=:position,
    updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    seen_at=NULL,
    failed_at=NULL,
    worker=NULL,
    failure=NULL,
    event_position=:event_position,
    event_id=:event_id,
    event_stream_id=:event_stream_id,
    event_version=:event_version,
    outside_after=:outside_after,
    partitions=:partitions,
    next_partitions=NULL
WHERE es_checkpoints.name = :name;

-- projections.stop_partition
UPDATE es_checkpoints
SET stop_position=CASE
    WHEN (es_checkpoints.position > :stop_position) THEN es_checkpoints.position
    ELSE :stop_position
    END
WHERE es_checkpoints.name = :name;

-- projections.stop_partition_unless_locked
UPDATE es_checkpoints
SET stop_position=CASE
    WHEN (es_checkpoints.position > :stop_position) THEN es_checkpoints.position
    ELSE :stop_position
    END
WHERE es_checkpoints.name = (
    SELECT es_checkpoints.name FROM es_checkpoints WHERE es_checkpoints.name = :name
);

-- reading.newest_stored_version
SELECT max(es_events.version) AS version FROM es_events WHERE es_events.stream_id = :stream_id;

-- reading.read_forwards
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
LIMIT :page_size;

-- reading.read_page_backwards
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
LIMIT :page_size;

-- reading.read_page_forwards
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
LIMIT :page_size;

-- reading.read_page_of_types(2, backwards=False)
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
    AND es_events.event_type IN (:event_type_0, :event_type_1)
ORDER BY es_events.version
LIMIT :page_size;

-- reading.read_page_of_types(2, backwards=True)
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
    AND es_events.event_type IN (:event_type_0, :event_type_1)
ORDER BY es_events.version DESC
LIMIT :page_size;

-- reading.stream_version
SELECT es_streams.version FROM es_streams WHERE es_streams.stream_id = :stream_id;

-- recoding.payloads_of_other_codecs
SELECT es_events.position, es_events.event_type, es_events.codec, es_events.data
FROM es_events
WHERE es_events.position > :after_position
    AND es_events.position <= :up_to_position
    AND es_events.codec != :codec
ORDER BY es_events.position
LIMIT :page_size;

-- recoding.write_payload
UPDATE es_events
SET codec=:new_codec, data=:new_data
WHERE es_events.position = :at_position AND es_events.codec = :old_codec
RETURNING position;

-- repairs.delete_head_without_events
DELETE FROM es_streams
WHERE es_streams.stream_id = :stream_id
    AND NOT (EXISTS (SELECT 1 FROM es_events WHERE es_events.stream_id = es_streams.stream_id))
    AND NOT 1 = 0
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
INSERT INTO es_streams (stream_id, version, created_at, updated_at, after_position)
SELECT
    es_events.stream_id,
    max(es_events.version) AS version,
    min(es_events.recorded_at) AS created_at,
    max(es_events.recorded_at) AS updated_at,
    CASE
        WHEN (min(es_events.version) = 1) THEN min(es_events.position) - 1
        ELSE 0
        END AS after_position
FROM es_events
WHERE es_events.stream_id = :stream_id
GROUP BY es_events.stream_id
ON CONFLICT (stream_id)
DO UPDATE SET
    version = excluded.version,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    after_position =
        CASE
        WHEN (excluded.after_position > es_streams.after_position) THEN es_streams.after_position
        ELSE excluded.after_position
        END
WHERE es_streams.version != excluded.version OR es_streams.after_position > excluded.after_position
RETURNING version;

-- schema.schema_version
SELECT
    es_schema.version,
    es_schema.breaking_version,
    0 AS has_citus,
    0 AS es_events,
    0 AS is_partitioned
FROM es_schema;

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
    :stream_id AS stream_id,
    :schema_version AS schema_version,
    :version AS version,
    :codec AS codec,
    :state AS state
FROM es_streams
JOIN es_events ON es_events.stream_id = es_streams.stream_id AND es_events.version = :version
WHERE es_streams.stream_id = :stream_id AND es_streams.version >= :version
ON CONFLICT (stream_id, schema_version)
DO UPDATE SET
    version = excluded.version,
    created_at = excluded.created_at,
    codec = excluded.codec,
    state = excluded.state
WHERE snapshots.version < excluded.version
RETURNING version;

-- sqlite.append.find_heads
SELECT es_streams.stream_id, es_streams.version
FROM es_streams
WHERE es_streams.stream_id IN (SELECT stream_ids.value FROM json_each(:stream_ids) AS stream_ids);

-- sqlite.append.insert_event(('stream_id', 'version', 'event_id', 'event_type', 'schema_version', 'codec', 'data', 'metadata'))
INSERT INTO es_events (version, event_id, schema_version, codec, stream_id, event_type, data, metadata)
VALUES (:version, :event_id, :schema_version, :codec, :stream_id, :event_type, :data, :metadata);

-- sqlite.append.insert_event(('stream_id', 'version', 'event_id', 'event_type', 'schema_version', 'codec', 'data', 'metadata', 'recorded_at'))
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

-- sqlite.append.insert_event(('stream_id', 'version', 'event_id', 'event_type', 'schema_version', 'codec', 'data', 'metadata', 'recorded_at', 'position'))
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

-- sqlite.append.insert_one_event
INSERT INTO es_events (version, event_id, schema_version, codec, stream_id, event_type, data, metadata)
VALUES (:version, :event_id, :schema_version, :codec, :stream_id, :event_type, :data, :metadata)
RETURNING position;

-- sqlite.append.last_position
SELECT last_insert_rowid() AS position;

-- sqlite.append.set_head
INSERT INTO es_streams (version, stream_id)
VALUES (:version, :stream_id)
ON CONFLICT (stream_id)
DO UPDATE SET version = :version, updated_at = (strftime('%Y-%m-%d %H:%M:%f000', 'now'));

-- sqlite.append.take_write_lock
UPDATE es_streams SET version=es_streams.version WHERE es_streams.stream_id = '';

-- sqlite.boundaries.compare_boundaries
WITH item AS MATERIALIZED (
    SELECT
        json_extract(asked.value, '$.tags') AS tags,
        json_extract(asked.value, '$.types') AS types,
        json_extract(asked.value, '$.pivot') AS pivot,
        json_extract(asked.value, '$.position') AS position,
        json_extract(asked.value, '$.event_id') AS event_id
    FROM json_each(:items) AS asked
)
SELECT
    NOT EXISTS (
        SELECT 1
        FROM item
        WHERE item.position > 0
            AND NOT EXISTS (
                SELECT 1
                FROM es_events AS event
                WHERE event.position = item.position AND event.event_id = item.event_id
            )
    )
        AND (
            :generation IS NULL
                OR :generation = coalesce(
                    (
                        SELECT max(tag.position) AS generation
                        FROM es_event_tags AS tag
                        WHERE tag.tag = ''
                    ),
                    0
                )
        ) AS is_current,
    (
        SELECT min(tag.position) AS position
        FROM item
        JOIN es_event_tags AS tag
            ON tag.tag = item.pivot
                AND (
                    item.types IS NULL
                        OR tag.event_type IN (SELECT type.value FROM json_each(item.types) AS type)
                )
                AND NOT EXISTS (
                    SELECT 1
                    FROM json_each(item.tags) AS wanted
                    WHERE NOT EXISTS (
                        SELECT 1
                        FROM es_event_tags AS other
                        WHERE other.tag = wanted.value AND other.position = tag.position
                    )
                )
                AND tag.position > item.position
    ) AS changed;

-- sqlite.boundaries.read_boundary
WITH
    asked AS (
        SELECT
            asked.key AS number,
            json_extract(asked.value, '$.tags') AS tags,
            json_extract(asked.value, '$.types') AS types
        FROM json_each(:items) AS asked
    ),
    item AS MATERIALIZED (
        SELECT
            asked.number,
            asked.tags,
            asked.types,
            (
                SELECT candidate.value
                FROM json_each(asked.tags) AS candidate
                ORDER BY
                    (
                        SELECT count(*) AS number
                        FROM (
                            SELECT 1 AS one
                            FROM es_event_tags AS tag
                            WHERE tag.tag = candidate.value
                            LIMIT 1000
                        )
                    ),
                    candidate.value
                LIMIT 1
            ) AS pivot
        FROM asked
    ),
    last AS MATERIALIZED (
        SELECT
            item.number,
            item.pivot,
            (
                SELECT max(tag.position) AS position
                FROM es_event_tags AS tag
                WHERE tag.tag = item.pivot
            ) AS position
        FROM item
    )
SELECT
    CAST(0 AS BIGINT) AS position,
    (
        SELECT json_group_array(
            json_array(
                last.pivot,
                last.position,
                (SELECT event.event_id FROM es_events AS event WHERE event.position = last.position)
            )
        ) AS ends
        FROM (SELECT number, pivot, position FROM last ORDER BY number) AS last
    ) AS stream_id,
    coalesce(
        (SELECT max(tag.position) AS generation FROM es_event_tags AS tag WHERE tag.tag = ''), 0
    ) AS version,
    CAST(NULL AS TEXT) AS event_id,
    CAST(NULL AS TEXT) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT found.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT tag.position
        FROM item
        JOIN es_event_tags AS tag
            ON tag.tag = item.pivot
                AND (
                    item.types IS NULL
                        OR tag.event_type IN (SELECT type.value FROM json_each(item.types) AS type)
                )
                AND NOT EXISTS (
                    SELECT 1
                    FROM json_each(item.tags) AS wanted
                    WHERE NOT EXISTS (
                        SELECT 1
                        FROM es_event_tags AS other
                        WHERE other.tag = wanted.value AND other.position = tag.position
                    )
                )
    )
) AS found
ORDER BY position;

-- sqlite.boundaries_without_tags.compare_boundaries_without_tags
WITH
    asked AS (
        SELECT
            json_extract(asked.value, '$.number') AS number,
            json_extract(asked.value, '$.tags') AS tags,
            json_extract(asked.value, '$.types') AS types,
            json_extract(asked.value, '$.categories') AS categories,
            coalesce(json_extract(asked.value, '$.position'), 0) AS position,
            json_extract(asked.value, '$.event_id') AS event_id,
            json_extract(asked.value, '$.seen') AS seen,
            json_extract(asked.value, '$.seen_ids') AS seen_ids
        FROM json_each(:items) AS asked
    ),
    item AS MATERIALIZED (
        SELECT
            asked.*,
            (
                SELECT candidate.value
                FROM json_each(asked.tags) AS candidate
                ORDER BY (
                    SELECT count(*) AS number
                    FROM (
                        SELECT 1 AS one
                        FROM es_event_tags AS tag
                        WHERE tag.tag = candidate.value
                        LIMIT 1000
                    )
                )
                LIMIT 1
            ) AS pivot
        FROM asked
    )
SELECT
    NOT EXISTS (
        SELECT 1
        FROM item
        WHERE item.position > 0
            AND NOT EXISTS (
                SELECT 1
                FROM es_events AS event
                WHERE event.position = item.position AND event.event_id = item.event_id
            )
    )
        AND (
            :generation IS NULL
                OR :generation = coalesce(
                    (
                        SELECT max(tag.position) AS generation
                        FROM es_event_tags AS tag
                        WHERE tag.tag = ''
                    ),
                    0
                )
        )
        AND NOT EXISTS (
            SELECT 1
            FROM item CROSS
            JOIN json_each(item.seen) AS seen CROSS
            JOIN json_each(item.seen_ids) AS seen_id ON seen_id.key = seen.key
            WHERE NOT EXISTS (
                SELECT 1
                FROM es_events AS event
                WHERE event.position = seen.value AND event.event_id = seen_id.value
            )
        ) AS is_current,
    (
        SELECT min(change.position) AS position
        FROM (
            SELECT found.number, found.position
            FROM (
                SELECT item.number, event.position
                FROM item
                JOIN es_events AS event ON event.position > item.position
                WHERE item.tags IS NULL AND item.types IS NULL AND item.categories IS NULL
                UNION ALL
                SELECT item.number, event.position
                FROM item CROSS
                JOIN json_each(item.types) AS wanted CROSS
                JOIN es_events AS event
                    ON event.event_type = wanted.value AND event.position > item.position
                WHERE item.tags IS NULL
                    AND (
                        item.categories IS NULL
                            OR event.category IN (
                                SELECT each.value FROM json_each(item.categories) AS each
                            )
                    )
                UNION ALL
                SELECT item.number, event.position
                FROM item CROSS
                JOIN json_each(item.categories) AS wanted CROSS
                JOIN es_events AS event
                    ON event.category = wanted.value AND event.position > item.position
                WHERE item.tags IS NULL AND item.types IS NULL
                UNION ALL
                SELECT item.number, tag.position
                FROM item CROSS
                JOIN es_event_tags AS tag ON tag.tag = item.pivot AND tag.position > item.position CROSS
                JOIN es_events AS event ON event.position = tag.position
                WHERE (
                    item.types IS NULL
                        OR tag.event_type IN (SELECT type.value FROM json_each(item.types) AS type)
                )
                    AND (
                        item.categories IS NULL
                            OR event.category IN (
                                SELECT each.value FROM json_each(item.categories) AS each
                            )
                    )
                    AND NOT EXISTS (
                        SELECT 1
                        FROM json_each(item.tags) AS wanted
                        WHERE NOT EXISTS (
                            SELECT 1
                            FROM es_event_tags AS other
                            WHERE other.tag = wanted.value AND other.position = tag.position
                        )
                    )
            ) AS found EXCEPT
            SELECT item.number, seen.value
            FROM item CROSS
            JOIN json_each(item.seen) AS seen
        ) AS change
    ) AS changed;

-- sqlite.boundaries_without_tags.read_boundary_without_tags
WITH
    asked AS (
        SELECT
            json_extract(asked.value, '$.number') AS number,
            json_extract(asked.value, '$.tags') AS tags,
            json_extract(asked.value, '$.types') AS types,
            json_extract(asked.value, '$.categories') AS categories,
            coalesce(json_extract(asked.value, '$.position'), 0) AS position,
            json_extract(asked.value, '$.event_id') AS event_id,
            json_extract(asked.value, '$.seen') AS seen,
            json_extract(asked.value, '$.seen_ids') AS seen_ids
        FROM json_each(:items) AS asked
    ),
    item AS MATERIALIZED (
        SELECT
            asked.*,
            (
                SELECT candidate.value
                FROM json_each(asked.tags) AS candidate
                ORDER BY (
                    SELECT count(*) AS number
                    FROM (
                        SELECT 1 AS one
                        FROM es_event_tags AS tag
                        WHERE tag.tag = candidate.value
                        LIMIT 1000
                    )
                )
                LIMIT 1
            ) AS pivot
        FROM asked
    ),
    settled AS MATERIALIZED (
        SELECT coalesce(max(event.position), 0) AS position
        FROM es_events AS event
        WHERE event.position = :settled AND event.event_id = :settled_id
    ),
    found AS MATERIALIZED (
        SELECT item.number, event.position
        FROM item
        JOIN es_events AS event ON event.position > item.position
        WHERE item.tags IS NULL AND item.types IS NULL AND item.categories IS NULL
        UNION ALL
        SELECT item.number, event.position
        FROM item CROSS
        JOIN json_each(item.types) AS wanted CROSS
        JOIN es_events AS event ON event.event_type = wanted.value AND event.position > item.position
        WHERE item.tags IS NULL
            AND (
                item.categories IS NULL
                    OR event.category IN (SELECT each.value FROM json_each(item.categories) AS each)
            )
        UNION ALL
        SELECT item.number, event.position
        FROM item CROSS
        JOIN json_each(item.categories) AS wanted CROSS
        JOIN es_events AS event ON event.category = wanted.value AND event.position > item.position
        WHERE item.tags IS NULL AND item.types IS NULL
        UNION ALL
        SELECT item.number, tag.position
        FROM item CROSS
        JOIN es_event_tags AS tag ON tag.tag = item.pivot AND tag.position > item.position CROSS
        JOIN es_events AS event ON event.position = tag.position
        WHERE (
            item.types IS NULL
                OR tag.event_type IN (SELECT type.value FROM json_each(item.types) AS type)
        )
            AND (
                item.categories IS NULL
                    OR event.category IN (SELECT each.value FROM json_each(item.categories) AS each)
            )
            AND NOT EXISTS (
                SELECT 1
                FROM json_each(item.tags) AS wanted
                WHERE NOT EXISTS (
                    SELECT 1
                    FROM es_event_tags AS other
                    WHERE other.tag = wanted.value AND other.position = tag.position
                )
            )
    )
SELECT
    CAST(0 AS BIGINT) AS position,
    (
        SELECT json_group_array(
            (
                SELECT json_group_array(DISTINCT found.position) AS positions
                FROM found
                WHERE found.number = item.number AND found.position > settled.position
            )
        ) AS seen
        FROM (SELECT number FROM item ORDER BY number) AS item
    ) AS stream_id,
    coalesce(
        (SELECT max(tag.position) AS generation FROM es_event_tags AS tag WHERE tag.tag = ''), 0
    ) AS version,
    CASE WHEN settled.position > 0 THEN :settled_id END AS event_id,
    CAST(settled.position AS TEXT) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
FROM settled
UNION ALL
SELECT matching.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (SELECT found.position FROM found)
) AS matching
ORDER BY position;

-- sqlite.figures.count_matching(((),), in_period=False)
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_0 AND candidate.position <= :up_to_position
    ) AS matches
) AS figures;

-- sqlite.figures.count_matching(((),), in_period=True)
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_0
            AND candidate.position <= :up_to_position
            AND candidate.recorded_at >= :recorded_since
            AND candidate.recorded_at < :recorded_before
    ) AS matches
) AS figures;

-- sqlite.figures.count_matching((('tags',),), in_period=False)
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_0
            AND candidate.position <= :up_to_position
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag IN (SELECT value FROM json_each(:tags_0))
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                GROUP BY tag.position
                HAVING count(*) = json_array_length(:tags_0)
            )
    ) AS matches
) AS figures;

-- sqlite.figures.count_matching((('tags',),), in_period=True)
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_0
            AND candidate.position <= :up_to_position
            AND candidate.recorded_at >= :recorded_since
            AND candidate.recorded_at < :recorded_before
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag IN (SELECT value FROM json_each(:tags_0))
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                GROUP BY tag.position
                HAVING count(*) = json_array_length(:tags_0)
            )
    ) AS matches
) AS figures;

-- sqlite.figures.count_matching((('tags', 'event_types'),), in_period=False)
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_0
            AND candidate.position <= :up_to_position
            AND candidate.event_type IN (SELECT value FROM json_each(:event_types_0))
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag IN (SELECT value FROM json_each(:tags_0))
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                GROUP BY tag.position
                HAVING count(*) = json_array_length(:tags_0)
            )
    ) AS matches
) AS figures;

-- sqlite.figures.count_matching((('tags', 'event_types'),), in_period=True)
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_0
            AND candidate.position <= :up_to_position
            AND candidate.event_type IN (SELECT value FROM json_each(:event_types_0))
            AND candidate.recorded_at >= :recorded_since
            AND candidate.recorded_at < :recorded_before
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag IN (SELECT value FROM json_each(:tags_0))
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                GROUP BY tag.position
                HAVING count(*) = json_array_length(:tags_0)
            )
    ) AS matches
) AS figures;

-- sqlite.figures.count_matching((('tags', 'stream_ids', 'categories'),), in_period=False)
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_0
            AND candidate.position <= :up_to_position
            AND candidate.stream_id IN (SELECT value FROM json_each(:stream_ids_0))
            AND candidate.category IN (SELECT value FROM json_each(:categories_0))
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag IN (SELECT value FROM json_each(:tags_0))
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                GROUP BY tag.position
                HAVING count(*) = json_array_length(:tags_0)
            )
    ) AS matches
) AS figures;

-- sqlite.figures.count_matching((('tags', 'stream_ids', 'categories'),), in_period=True)
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_0
            AND candidate.position <= :up_to_position
            AND candidate.stream_id IN (SELECT value FROM json_each(:stream_ids_0))
            AND candidate.category IN (SELECT value FROM json_each(:categories_0))
            AND candidate.recorded_at >= :recorded_since
            AND candidate.recorded_at < :recorded_before
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag IN (SELECT value FROM json_each(:tags_0))
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                GROUP BY tag.position
                HAVING count(*) = json_array_length(:tags_0)
            )
    ) AS matches
) AS figures;

-- sqlite.figures.count_matching((('categories', 'event_types'), ('stream_ids',), ()), in_period=False)
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_0
            AND candidate.position <= :up_to_position
            AND candidate.category IN (SELECT value FROM json_each(:categories_0))
            AND candidate.event_type IN (SELECT value FROM json_each(:event_types_0))
        UNION
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_1
            AND candidate.position <= :up_to_position
            AND candidate.stream_id IN (SELECT value FROM json_each(:stream_ids_1))
        UNION
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_2 AND candidate.position <= :up_to_position
    ) AS matches
) AS figures;

-- sqlite.figures.count_matching((('categories', 'event_types'), ('stream_ids',), ()), in_period=True)
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_0
            AND candidate.position <= :up_to_position
            AND candidate.category IN (SELECT value FROM json_each(:categories_0))
            AND candidate.event_type IN (SELECT value FROM json_each(:event_types_0))
            AND candidate.recorded_at >= :recorded_since
            AND candidate.recorded_at < :recorded_before
        UNION
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_1
            AND candidate.position <= :up_to_position
            AND candidate.stream_id IN (SELECT value FROM json_each(:stream_ids_1))
            AND candidate.recorded_at >= :recorded_since
            AND candidate.recorded_at < :recorded_before
        UNION
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > :after_position_2
            AND candidate.position <= :up_to_position
            AND candidate.recorded_at >= :recorded_since
            AND candidate.recorded_at < :recorded_before
    ) AS matches
) AS figures;

-- sqlite.figures.extent_of_period
SELECT
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS settled_id,
    figures.*
FROM (
    SELECT min(candidate.position + 0) AS first, max(candidate.position + 0) AS last
    FROM es_events AS candidate
    WHERE candidate.recorded_at >= :recorded_since
        AND candidate.recorded_at < :recorded_before
        AND candidate.position + 0 > :after_position
        AND candidate.position + 0 <= :up_to_position
) AS figures;

-- sqlite.history.add_permission
INSERT INTO es_history_permission (id) VALUES (1) ON CONFLICT DO NOTHING RETURNING id;

-- sqlite.history.remove_permission
DELETE FROM es_history_permission;

-- sqlite.log_view.log_view
SELECT
    newest.position,
    newest.event_id,
    newest.stream_id,
    newest.version,
    known.settled_id,
    known.token_id,
    known.drawn
FROM (
    SELECT (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled) AS settled_id,
    (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS token_id,
    (
        SELECT max(sqlite_sequence.seq) AS seq
        FROM sqlite_sequence
        WHERE sqlite_sequence.name = 'es_events'
    ) AS drawn
) AS known
LEFT JOIN (
    SELECT
        newest_event.position,
        newest_event.event_id,
        newest_event.stream_id,
        newest_event.version
    FROM es_events AS newest_event
    ORDER BY newest_event.position DESC
    LIMIT 1
) AS newest
    ON true;

-- sqlite.positions.add_last_drawn
-- with name = 'es_events'
INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :position);

-- sqlite.positions.forget_last_drawn
DELETE FROM sqlite_sequence WHERE sqlite_sequence.name = 'es_events';

-- sqlite.positions.last_drawn_position
SELECT (SELECT coalesce(max(es_events.position), 0) AS position FROM es_events) AS newest,
(
    SELECT max(sqlite_sequence.seq) AS seq
    FROM sqlite_sequence
    WHERE sqlite_sequence.name = 'es_events'
) AS last_drawn;

-- sqlite.read_page.read_everything
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position > :after_position AND event.position <= :up_to_position
    ORDER BY event.position
    LIMIT :page_size
) AS page
ORDER BY position;

-- sqlite.read_page.read_everything_backwards
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position > :after_position AND event.position <= :up_to_position
    ORDER BY event.position DESC
    LIMIT :page_size
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching(((),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > :after_position_0 AND candidate.position <= :up_to_position
                ORDER BY candidate.position
                LIMIT :page_size
            ) AS match_0
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids',),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.stream_id = filter_0.value
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.version
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :up_to_position
                        ) AS position
                    FROM json_each(:stream_ids_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.stream_id = end_0.value
                AND candidate.position > :after_position_0
                AND candidate.position <= end_0.position
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('event_types',),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.event_type = filter_0.value
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.position
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :up_to_position
                        ) AS position
                    FROM json_each(:event_types_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.event_type = end_0.value
                AND candidate.position > :after_position_0
                AND candidate.position <= end_0.position
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('categories',),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.category = filter_0.value
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.position
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :up_to_position
                        ) AS position
                    FROM json_each(:categories_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.category = end_0.value
                AND candidate.position > :after_position_0
                AND candidate.position <= end_0.position
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids', 'event_types'),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.stream_id = filter_0.value
                                    AND event.event_type IN (
                                        SELECT value FROM json_each(:event_types_0)
                                    )
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.version
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :up_to_position
                        ) AS position
                    FROM json_each(:stream_ids_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.stream_id = end_0.value
                AND candidate.event_type IN (SELECT value FROM json_each(:event_types_0))
                AND candidate.position > :after_position_0
                AND candidate.position <= end_0.position
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids', 'categories'),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.stream_id = filter_0.value
                                    AND event.category IN (
                                        SELECT value FROM json_each(:categories_0)
                                    )
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.version
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :up_to_position
                        ) AS position
                    FROM json_each(:stream_ids_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.stream_id = end_0.value
                AND candidate.category IN (SELECT value FROM json_each(:categories_0))
                AND candidate.position > :after_position_0
                AND candidate.position <= end_0.position
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('event_types', 'categories'),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.event_type = filter_0.value
                                    AND event.category IN (
                                        SELECT value FROM json_each(:categories_0)
                                    )
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.position
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :up_to_position
                        ) AS position
                    FROM json_each(:event_types_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.event_type = end_0.value
                AND candidate.category IN (SELECT value FROM json_each(:categories_0))
                AND candidate.position > :after_position_0
                AND candidate.position <= end_0.position
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids', 'event_types', 'categories'),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.stream_id = filter_0.value
                                    AND event.event_type IN (
                                        SELECT value FROM json_each(:event_types_0)
                                    )
                                    AND event.category IN (
                                        SELECT value FROM json_each(:categories_0)
                                    )
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.version
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :up_to_position
                        ) AS position
                    FROM json_each(:stream_ids_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.stream_id = end_0.value
                AND candidate.event_type IN (SELECT value FROM json_each(:event_types_0))
                AND candidate.category IN (SELECT value FROM json_each(:categories_0))
                AND candidate.position > :after_position_0
                AND candidate.position <= end_0.position
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('categories', 'event_types'), ('stream_ids',), ()))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.event_type = filter_0.value
                                    AND event.category IN (
                                        SELECT value FROM json_each(:categories_0)
                                    )
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.position
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :up_to_position
                        ) AS position
                    FROM json_each(:event_types_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.event_type = end_0.value
                AND candidate.category IN (SELECT value FROM json_each(:categories_0))
                AND candidate.position > :after_position_0
                AND candidate.position <= end_0.position
            UNION
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_1.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.stream_id = filter_1.value
                                    AND event.position > :after_position_1
                                    AND event.position <= :up_to_position
                                ORDER BY event.version
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :up_to_position
                        ) AS position
                    FROM json_each(:stream_ids_1) AS filter_1
                    LIMIT 9223372036854775807
                ) AS end_1
            WHERE candidate.stream_id = end_1.value
                AND candidate.position > :after_position_1
                AND candidate.position <= end_1.position
            UNION
            SELECT match_2.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > :after_position_2 AND candidate.position <= :up_to_position
                ORDER BY candidate.position
                LIMIT :page_size
            ) AS match_2
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('tags',),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    SELECT wanted.value
                    FROM json_each(:tags_0) AS wanted
                    ORDER BY (
                        SELECT count(*) AS number
                        FROM (
                            SELECT 1 AS one
                            FROM es_event_tags AS tag
                            WHERE tag.tag = wanted.value
                                AND tag.position > :after_position_0
                                AND tag.position <= :up_to_position
                            LIMIT 1000
                        ) AS counted
                    )
                    LIMIT 1
                )
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                    AND NOT EXISTS (
                        SELECT 1
                        FROM json_each(:tags_0) AS wanted
                        WHERE NOT EXISTS (
                            SELECT 1
                            FROM es_event_tags AS other
                            WHERE other.tag = wanted.value AND other.position = tag.position
                        )
                    )
                ORDER BY tag.position
                LIMIT :page_size
            ) AS match_0
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('tags', 'event_types'),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    SELECT wanted.value
                    FROM json_each(:tags_0) AS wanted
                    ORDER BY (
                        SELECT count(*) AS number
                        FROM (
                            SELECT 1 AS one
                            FROM es_event_tags AS tag
                            WHERE tag.tag = wanted.value
                                AND tag.position > :after_position_0
                                AND tag.position <= :up_to_position
                            LIMIT 1000
                        ) AS counted
                    )
                    LIMIT 1
                )
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                    AND tag.event_type IN (SELECT value FROM json_each(:event_types_0))
                    AND NOT EXISTS (
                        SELECT 1
                        FROM json_each(:tags_0) AS wanted
                        WHERE NOT EXISTS (
                            SELECT 1
                            FROM es_event_tags AS other
                            WHERE other.tag = wanted.value AND other.position = tag.position
                        )
                    )
                ORDER BY tag.position
                LIMIT :page_size
            ) AS match_0
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('tags', 'stream_ids', 'categories'),))
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    SELECT wanted.value
                    FROM json_each(:tags_0) AS wanted
                    ORDER BY (
                        SELECT count(*) AS number
                        FROM (
                            SELECT 1 AS one
                            FROM es_event_tags AS tag
                            WHERE tag.tag = wanted.value
                                AND tag.position > :after_position_0
                                AND tag.position <= :up_to_position
                            LIMIT 1000
                        ) AS counted
                    )
                    LIMIT 1
                )
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                    AND EXISTS (
                        SELECT 1
                        FROM es_events AS candidate
                        WHERE candidate.position = tag.position
                            AND candidate.stream_id IN (SELECT value FROM json_each(:stream_ids_0))
                            AND candidate.category IN (SELECT value FROM json_each(:categories_0))
                    )
                    AND NOT EXISTS (
                        SELECT 1
                        FROM json_each(:tags_0) AS wanted
                        WHERE NOT EXISTS (
                            SELECT 1
                            FROM es_event_tags AS other
                            WHERE other.tag = wanted.value AND other.position = tag.position
                        )
                    )
                ORDER BY tag.position
                LIMIT :page_size
            ) AS match_0
        ) AS matches
        ORDER BY matches.position
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching(((),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > :after_position_0 AND candidate.position <= :up_to_position
                ORDER BY candidate.position DESC
                LIMIT :page_size
            ) AS match_0
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids',),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.stream_id = filter_0.value
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.version DESC
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :after_position_0 + 1
                        ) AS position
                    FROM json_each(:stream_ids_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.stream_id = end_0.value
                AND candidate.position >= end_0.position
                AND candidate.position <= :up_to_position
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('event_types',),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.event_type = filter_0.value
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.position DESC
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :after_position_0 + 1
                        ) AS position
                    FROM json_each(:event_types_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.event_type = end_0.value
                AND candidate.position >= end_0.position
                AND candidate.position <= :up_to_position
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('categories',),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.category = filter_0.value
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.position DESC
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :after_position_0 + 1
                        ) AS position
                    FROM json_each(:categories_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.category = end_0.value
                AND candidate.position >= end_0.position
                AND candidate.position <= :up_to_position
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids', 'event_types'),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.stream_id = filter_0.value
                                    AND event.event_type IN (
                                        SELECT value FROM json_each(:event_types_0)
                                    )
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.version DESC
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :after_position_0 + 1
                        ) AS position
                    FROM json_each(:stream_ids_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.stream_id = end_0.value
                AND candidate.event_type IN (SELECT value FROM json_each(:event_types_0))
                AND candidate.position >= end_0.position
                AND candidate.position <= :up_to_position
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids', 'categories'),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.stream_id = filter_0.value
                                    AND event.category IN (
                                        SELECT value FROM json_each(:categories_0)
                                    )
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.version DESC
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :after_position_0 + 1
                        ) AS position
                    FROM json_each(:stream_ids_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.stream_id = end_0.value
                AND candidate.category IN (SELECT value FROM json_each(:categories_0))
                AND candidate.position >= end_0.position
                AND candidate.position <= :up_to_position
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('event_types', 'categories'),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.event_type = filter_0.value
                                    AND event.category IN (
                                        SELECT value FROM json_each(:categories_0)
                                    )
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.position DESC
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :after_position_0 + 1
                        ) AS position
                    FROM json_each(:event_types_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.event_type = end_0.value
                AND candidate.category IN (SELECT value FROM json_each(:categories_0))
                AND candidate.position >= end_0.position
                AND candidate.position <= :up_to_position
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('stream_ids', 'event_types', 'categories'),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.stream_id = filter_0.value
                                    AND event.event_type IN (
                                        SELECT value FROM json_each(:event_types_0)
                                    )
                                    AND event.category IN (
                                        SELECT value FROM json_each(:categories_0)
                                    )
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.version DESC
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :after_position_0 + 1
                        ) AS position
                    FROM json_each(:stream_ids_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.stream_id = end_0.value
                AND candidate.event_type IN (SELECT value FROM json_each(:event_types_0))
                AND candidate.category IN (SELECT value FROM json_each(:categories_0))
                AND candidate.position >= end_0.position
                AND candidate.position <= :up_to_position
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('categories', 'event_types'), ('stream_ids',), ()), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_0.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.event_type = filter_0.value
                                    AND event.category IN (
                                        SELECT value FROM json_each(:categories_0)
                                    )
                                    AND event.position > :after_position_0
                                    AND event.position <= :up_to_position
                                ORDER BY event.position DESC
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :after_position_0 + 1
                        ) AS position
                    FROM json_each(:event_types_0) AS filter_0
                    LIMIT 9223372036854775807
                ) AS end_0
            WHERE candidate.event_type = end_0.value
                AND candidate.category IN (SELECT value FROM json_each(:categories_0))
                AND candidate.position >= end_0.position
                AND candidate.position <= :up_to_position
            UNION
            SELECT candidate.position
            FROM
                es_events AS candidate,
                (
                    SELECT
                        filter_1.value,
                        coalesce(
                            (
                                SELECT event.position
                                FROM es_events AS event
                                WHERE event.stream_id = filter_1.value
                                    AND event.position > :after_position_1
                                    AND event.position <= :up_to_position
                                ORDER BY event.version DESC
                                LIMIT 1
                                OFFSET :page_size - 1
                            ),
                            :after_position_1 + 1
                        ) AS position
                    FROM json_each(:stream_ids_1) AS filter_1
                    LIMIT 9223372036854775807
                ) AS end_1
            WHERE candidate.stream_id = end_1.value
                AND candidate.position >= end_1.position
                AND candidate.position <= :up_to_position
            UNION
            SELECT match_2.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > :after_position_2 AND candidate.position <= :up_to_position
                ORDER BY candidate.position DESC
                LIMIT :page_size
            ) AS match_2
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('tags',),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    SELECT wanted.value
                    FROM json_each(:tags_0) AS wanted
                    ORDER BY (
                        SELECT count(*) AS number
                        FROM (
                            SELECT 1 AS one
                            FROM es_event_tags AS tag
                            WHERE tag.tag = wanted.value
                                AND tag.position > :after_position_0
                                AND tag.position <= :up_to_position
                            LIMIT 1000
                        ) AS counted
                    )
                    LIMIT 1
                )
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                    AND NOT EXISTS (
                        SELECT 1
                        FROM json_each(:tags_0) AS wanted
                        WHERE NOT EXISTS (
                            SELECT 1
                            FROM es_event_tags AS other
                            WHERE other.tag = wanted.value AND other.position = tag.position
                        )
                    )
                ORDER BY tag.position DESC
                LIMIT :page_size
            ) AS match_0
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('tags', 'event_types'),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    SELECT wanted.value
                    FROM json_each(:tags_0) AS wanted
                    ORDER BY (
                        SELECT count(*) AS number
                        FROM (
                            SELECT 1 AS one
                            FROM es_event_tags AS tag
                            WHERE tag.tag = wanted.value
                                AND tag.position > :after_position_0
                                AND tag.position <= :up_to_position
                            LIMIT 1000
                        ) AS counted
                    )
                    LIMIT 1
                )
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                    AND tag.event_type IN (SELECT value FROM json_each(:event_types_0))
                    AND NOT EXISTS (
                        SELECT 1
                        FROM json_each(:tags_0) AS wanted
                        WHERE NOT EXISTS (
                            SELECT 1
                            FROM es_event_tags AS other
                            WHERE other.tag = wanted.value AND other.position = tag.position
                        )
                    )
                ORDER BY tag.position DESC
                LIMIT :page_size
            ) AS match_0
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.read_page.read_matching((('tags', 'stream_ids', 'categories'),), backwards=True)
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    0 AS version,
    (SELECT settled.event_id FROM es_events AS settled WHERE settled.position = :settled_position) AS event_id,
    CAST(
        (SELECT token.event_id FROM es_events AS token WHERE token.position = :token_position) AS TEXT
    ) AS event_type,
    0 AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BLOB) AS data,
    CAST(NULL AS TEXT) AS metadata,
    NULL AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT
        event.position,
        event.stream_id,
        event.version,
        event.event_id,
        event.event_type,
        event.schema_version,
        event.codec,
        event.data,
        CAST(event.metadata AS TEXT) AS metadata,
        event.recorded_at
    FROM es_events AS event
    WHERE event.position IN (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    SELECT wanted.value
                    FROM json_each(:tags_0) AS wanted
                    ORDER BY (
                        SELECT count(*) AS number
                        FROM (
                            SELECT 1 AS one
                            FROM es_event_tags AS tag
                            WHERE tag.tag = wanted.value
                                AND tag.position > :after_position_0
                                AND tag.position <= :up_to_position
                            LIMIT 1000
                        ) AS counted
                    )
                    LIMIT 1
                )
                    AND tag.position > :after_position_0
                    AND tag.position <= :up_to_position
                    AND EXISTS (
                        SELECT 1
                        FROM es_events AS candidate
                        WHERE candidate.position = tag.position
                            AND candidate.stream_id IN (SELECT value FROM json_each(:stream_ids_0))
                            AND candidate.category IN (SELECT value FROM json_each(:categories_0))
                    )
                    AND NOT EXISTS (
                        SELECT 1
                        FROM json_each(:tags_0) AS wanted
                        WHERE NOT EXISTS (
                            SELECT 1
                            FROM es_event_tags AS other
                            WHERE other.tag = wanted.value AND other.position = tag.position
                        )
                    )
                ORDER BY tag.position DESC
                LIMIT :page_size
            ) AS match_0
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT :page_size
    )
    ORDER BY event.position
) AS page
ORDER BY position;

-- sqlite.settings.main_file
SELECT databases.file FROM pragma_database_list() AS databases WHERE databases.name = 'main';

-- sqlite.settings.setting('foreign_keys')
SELECT foreign_keys FROM pragma_foreign_keys() AS "pragma";

-- sqlite.settings.setting('journal_mode')
SELECT journal_mode FROM pragma_journal_mode() AS "pragma";

-- sqlite.settings.setting('synchronous')
SELECT synchronous FROM pragma_synchronous() AS "pragma";

-- sqlite.statistics.database_size
SELECT CAST(pages.page_count * size.page_size AS INTEGER) AS bytes
FROM pragma_page_count() AS pages, pragma_page_size() AS size;

-- sqlite.statistics.indexes_of_events
SELECT sqlite_master.sql
FROM sqlite_master
WHERE sqlite_master.type = 'index'
    AND sqlite_master.tbl_name = 'es_events'
    AND sqlite_master.sql IS NOT NULL;

-- sqlite.statistics.sizes
SELECT
    sqlite_master.tbl_name,
    iif(sqlite_master.type = 'index', sqlite_master.name, NULL) AS "index",
    dbstat.pgsize
FROM sqlite_master, dbstat
WHERE dbstat.name = sqlite_master.name
    AND dbstat.aggregate = 1
    AND sqlite_master.tbl_name IN (
        'es_checkpoints',
        'es_detached_parts',
        'es_event_tags',
        'es_history_permission',
        'es_schema',
        'es_streams',
        'es_dead_letters',
        'es_events',
        'snapshots'
    );

-- sqlite.tag_rows.delete_superfluous_tags
DELETE FROM es_event_tags AS tag
WHERE tag.tag <> ''
    AND NOT EXISTS (
        SELECT 1
        FROM es_events AS event, json_each(event.metadata, '$."$tags"') AS own
        WHERE event.position = tag.position AND event.event_type = tag.event_type AND own.value = tag.tag
    );

-- sqlite.tag_rows.delete_tags
DELETE FROM es_event_tags
WHERE (tag, position) IN (
    SELECT own.value, event.position
    FROM es_events AS event, json_each(event.metadata, '$."$tags"') AS own
    WHERE event.stream_id = :stream_id AND event.version < :before_version
);

-- sqlite.tag_rows.find_tagged_event
SELECT 1 AS found
FROM es_events AS event
WHERE event.stream_id = :stream_id
    AND event.version < :before_version
    AND json_type(event.metadata, '$."$tags"') IS NOT NULL
LIMIT 1;

-- sqlite.tag_rows.insert_tag
INSERT OR IGNORE INTO es_event_tags (position, tag, event_type)
SELECT event.position, :tag AS tag, event.event_type
FROM es_events AS event
WHERE event.stream_id = :stream_id AND event.version = :version;

-- sqlite.tag_rows.missing_tags
SELECT event.position, event.stream_id, event.version, count(*) AS number
FROM es_events AS event, json_each(event.metadata, '$."$tags"') AS own
WHERE event.position > :after_position
    AND event.position <= :up_to_position
    AND NOT EXISTS (
        SELECT 1
        FROM es_event_tags AS tag
        WHERE tag.tag = own.value AND tag.position = event.position AND tag.event_type = event.event_type
    )
GROUP BY event.position, event.stream_id, event.version
ORDER BY event.position;

-- sqlite.tag_rows.page_of_tags
SELECT
    tag.tag,
    tag.position,
    EXISTS (
        SELECT 1
        FROM es_events AS event, json_each(event.metadata, '$."$tags"') AS own
        WHERE event.position = tag.position AND event.event_type = tag.event_type AND own.value = tag.tag
    ) AS is_right
FROM es_event_tags AS tag
WHERE (tag.tag, tag.position) > (:after_tag, :after_position)
ORDER BY tag.tag, tag.position
LIMIT :page_size;

-- sqlite.tag_rows.restore_tags
INSERT OR IGNORE INTO es_event_tags (position, tag, event_type)
SELECT event.position, own.value AS tag, event.event_type
FROM es_events AS event, json_each(event.metadata, '$."$tags"') AS own
WHERE event.position IN (SELECT wanted.value FROM json_each(:positions) AS wanted);

-- sqlite.tag_rows.set_tags
UPDATE es_events AS event
SET metadata = json_set(coalesce(event.metadata, '{}'), '$."$tags"', json(:tags))
WHERE event.position = :at_position
    AND event.event_id = :event_id
    AND (
        SELECT json_group_array(own.value) AS tags
        FROM json_each(event.metadata, '$."$tags"') AS own
    ) = (SELECT json_group_array(before.value) AS tags FROM json_each(:tags_before) AS before)
RETURNING position;

-- sqlite.transfer.find_stored
SELECT
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.schema_version,
    es_events.codec,
    es_events.data,
    es_events.position,
    CAST(es_events.metadata AS TEXT) AS metadata
FROM es_events
JOIN json_each(:keys) AS keys
    ON es_events.stream_id = json_extract(keys.value, '$[0]')
        AND es_events.version = json_extract(keys.value, '$[1]');

-- sqlite.transfer.set_imported_head
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

-- statistics.count_events_since
SELECT count(*) AS events
FROM (SELECT 1 AS event FROM es_events WHERE es_events.recorded_at >= :since LIMIT :at_most) AS counted;

-- statistics.count_rows('streams')
SELECT count(*) AS rows FROM es_streams;

-- statistics.count_rows('events')
SELECT count(*) AS rows FROM es_events;

-- statistics.count_rows('snapshots')
SELECT count(*) AS rows FROM snapshots;

-- statistics.count_rows('schema')
SELECT count(*) AS rows FROM es_schema;

-- statistics.count_rows('checkpoints')
SELECT count(*) AS rows FROM es_checkpoints;

-- statistics.count_rows('dead_letters')
SELECT count(*) AS rows FROM es_dead_letters;

-- statistics.count_rows('tags')
SELECT count(*) AS rows FROM es_event_tags;

-- statistics.count_rows('detached_parts')
SELECT count(*) AS rows FROM es_detached_parts;

-- statistics.events_by_category_and_type
SELECT es_events.category, es_events.event_type, count(*) AS events
FROM es_events
GROUP BY es_events.category, es_events.event_type;

-- statistics.sample_categories_and_types
WITH RECURSIVE sample(position) AS (
    SELECT min(es_events.position) AS position
    FROM es_events
    UNION ALL
    SELECT (
        SELECT min(es_events.position) AS position
        FROM es_events
        WHERE es_events.position >= sample.position + :stride
    ) AS position
    FROM sample
    WHERE sample.position IS NOT NULL
)
SELECT es_events.category, es_events.event_type, count(*) AS events
FROM es_events
WHERE es_events.position IN (SELECT sample.position FROM sample WHERE sample.position IS NOT NULL)
GROUP BY es_events.category, es_events.event_type;

-- statistics.streams_by_category
SELECT es_streams.category, count(*) AS streams FROM es_streams GROUP BY es_streams.category;

-- statistics.time_now
SELECT (strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS now;

-- transfer.begin_stream_before
UPDATE es_streams
SET after_position=(:position - 1)
WHERE es_streams.stream_id = :of_stream AND es_streams.after_position >= :position;

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

-- transfer.newest_from_source
SELECT CAST(es_events.metadata AS TEXT) AS metadata
FROM es_events
WHERE json_extract(metadata, '$."$imported".from') = :source
ORDER BY es_events.position DESC
LIMIT 1;

-- transfer.page_of_snapshots
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
LIMIT :page_size;

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
SELECT step.version, step.position, step.version_before, step.position_before
FROM (
    SELECT
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.position AS position,
        lag(
            es_events.version,
            1,
            CASE
                WHEN (es_events.event_type IN ('$stream-deleted', '$stream-archived'))
                    THEN es_events.version - 1
                ELSE 0
                END
        ) OVER (PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position) AS version_before,
        lag(es_events.position, 1, 0) OVER (
            PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position
        ) AS position_before,
        es_events.position NOT BETWEEN 1
            AND 9223372036854775807
            OR es_events.schema_version NOT BETWEEN 1
            AND 2147483647
            OR es_events.codec NOT BETWEEN 0
            AND 32767
            OR length(es_events.event_type) NOT BETWEEN 1
            AND 255 AS is_out_of_bounds
    FROM es_events
    WHERE es_events.stream_id = :stream_id
) AS step
WHERE step.version != step.version_before + 1 OR step.position <= step.position_before
ORDER BY step.version, step.position
LIMIT :page_size;

-- verification.checkpoints_beyond_log
SELECT
    es_checkpoints.name,
    es_checkpoints.position,
    (SELECT coalesce(max(es_events.position), 0) AS position FROM es_events) AS newest,
    es_checkpoints.event_id
FROM es_checkpoints
WHERE CASE
    WHEN (es_checkpoints.event_id IS NULL)
        THEN es_checkpoints.position > (
            SELECT coalesce(max(newest_event.position), 0) AS position
            FROM es_events AS newest_event
        )
    AND es_checkpoints.position < 9223372036854775807
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
                        FROM es_events AS tombstone
                        WHERE tombstone.stream_id = es_checkpoints.event_stream_id
                            AND tombstone.version > es_checkpoints.event_version
                            AND tombstone.event_type IN ('$stream-deleted', '$stream-archived')
                    )
                )
        )
        END = 1
ORDER BY es_checkpoints.name;

-- verification.doubled_positions
SELECT es_events.position, count(*) AS count
FROM es_events
WHERE es_events.position > :after_position AND es_events.position <= :up_to_position
GROUP BY es_events.position
HAVING count(*) > 1
ORDER BY es_events.position;

-- verification.end_of_streams
SELECT es_streams.stream_id
FROM es_streams
WHERE es_streams.stream_id > :after
ORDER BY es_streams.stream_id
LIMIT 1
OFFSET :skipped;

-- verification.events_out_of_bounds
SELECT
    es_events.version,
    es_events.position,
    es_events.event_type,
    es_events.schema_version,
    es_events.codec
FROM es_events
WHERE es_events.stream_id = :stream_id
    AND (
        es_events.position NOT BETWEEN 1
            AND 9223372036854775807
            OR es_events.schema_version NOT BETWEEN 1
            AND 2147483647
            OR es_events.codec NOT BETWEEN 0
            AND 32767
            OR length(es_events.event_type) NOT BETWEEN 1
            AND 255
    )
ORDER BY es_events.version, es_events.position
LIMIT :page_size;

-- verification.events_without_stream(bounded=False)
SELECT es_events.stream_id, count(*) AS count, max(es_events.version) AS newest
FROM es_events
WHERE es_events.stream_id > :after
    AND NOT (EXISTS (SELECT 1 FROM es_streams WHERE es_streams.stream_id = es_events.stream_id))
GROUP BY es_events.stream_id
ORDER BY es_events.stream_id
LIMIT :page_size;

-- verification.events_without_stream(bounded=True)
SELECT es_events.stream_id, count(*) AS count, max(es_events.version) AS newest
FROM es_events
WHERE es_events.stream_id > :after
    AND es_events.stream_id <= :last
    AND NOT (EXISTS (SELECT 1 FROM es_streams WHERE es_streams.stream_id = es_events.stream_id))
GROUP BY es_events.stream_id
ORDER BY es_events.stream_id
LIMIT :page_size;

-- verification.head_without_id
SELECT es_streams.version FROM es_streams WHERE es_streams.stream_id = '';

-- verification.pending_letters
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
    ) AS is_there
FROM es_dead_letters
WHERE (es_dead_letters.projection, es_dead_letters.position) > (:projection, :position)
    AND es_dead_letters.status = 'pending'
ORDER BY es_dead_letters.projection, es_dead_letters.position
LIMIT :page_size;

-- verification.snapshot_states
SELECT
    snapshots.stream_id,
    snapshots.schema_version,
    snapshots.version,
    snapshots.codec,
    snapshots.state,
    es_streams.version AS stream_version
FROM snapshots
LEFT OUTER JOIN es_streams ON es_streams.stream_id = snapshots.stream_id
WHERE (snapshots.stream_id, snapshots.schema_version) > (:stream_id, :schema_version)
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT :page_size;

-- verification.stream_states(bounded=False)
SELECT
    es_streams.stream_id,
    es_streams.version,
    coalesce(summary.count, 0) AS count,
    summary.newest,
    coalesce(summary.breaks, 0) AS breaks,
    coalesce(summary.out_of_bounds, 0) AS out_of_bounds,
    CASE
        WHEN (es_streams.after_position >= summary.first_position) THEN summary.first_position
        END AS hidden,
    CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS is_detached
FROM es_streams
LEFT OUTER JOIN (
    SELECT
        step.stream_id AS stream_id,
        count(*) AS count,
        max(step.version) AS newest,
        count(*) FILTER (
            WHERE step.version != step.version_before + 1 OR step.position <= step.position_before
        ) AS breaks,
        count(*) FILTER (WHERE step.is_out_of_bounds) AS out_of_bounds,
        min(step.position) AS first_position
    FROM (
        SELECT
            es_events.stream_id AS stream_id,
            es_events.version AS version,
            es_events.position AS position,
            lag(
                es_events.version,
                1,
                CASE
                    WHEN (es_events.event_type IN ('$stream-deleted', '$stream-archived'))
                        THEN es_events.version - 1
                    ELSE 0
                    END
            ) OVER (PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position) AS version_before,
            lag(es_events.position, 1, 0) OVER (
                PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position
            ) AS position_before,
            es_events.position NOT BETWEEN 1
                AND 9223372036854775807
                OR es_events.schema_version NOT BETWEEN 1
                AND 2147483647
                OR es_events.codec NOT BETWEEN 0
                AND 32767
                OR length(es_events.event_type) NOT BETWEEN 1
                AND 255 AS is_out_of_bounds
        FROM es_events
        WHERE es_events.stream_id > :after
    ) AS step
    GROUP BY step.stream_id
) AS summary
    ON summary.stream_id = es_streams.stream_id
WHERE es_streams.stream_id > :after
ORDER BY es_streams.stream_id;

-- verification.stream_states(bounded=True)
SELECT
    es_streams.stream_id,
    es_streams.version,
    coalesce(summary.count, 0) AS count,
    summary.newest,
    coalesce(summary.breaks, 0) AS breaks,
    coalesce(summary.out_of_bounds, 0) AS out_of_bounds,
    CASE
        WHEN (es_streams.after_position >= summary.first_position) THEN summary.first_position
        END AS hidden,
    CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS is_detached
FROM es_streams
LEFT OUTER JOIN (
    SELECT
        step.stream_id AS stream_id,
        count(*) AS count,
        max(step.version) AS newest,
        count(*) FILTER (
            WHERE step.version != step.version_before + 1 OR step.position <= step.position_before
        ) AS breaks,
        count(*) FILTER (WHERE step.is_out_of_bounds) AS out_of_bounds,
        min(step.position) AS first_position
    FROM (
        SELECT
            es_events.stream_id AS stream_id,
            es_events.version AS version,
            es_events.position AS position,
            lag(
                es_events.version,
                1,
                CASE
                    WHEN (es_events.event_type IN ('$stream-deleted', '$stream-archived'))
                        THEN es_events.version - 1
                    ELSE 0
                    END
            ) OVER (PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position) AS version_before,
            lag(es_events.position, 1, 0) OVER (
                PARTITION BY es_events.stream_id ORDER BY es_events.version, es_events.position
            ) AS position_before,
            es_events.position NOT BETWEEN 1
                AND 9223372036854775807
                OR es_events.schema_version NOT BETWEEN 1
                AND 2147483647
                OR es_events.codec NOT BETWEEN 0
                AND 32767
                OR length(es_events.event_type) NOT BETWEEN 1
                AND 255 AS is_out_of_bounds
        FROM es_events
        WHERE es_events.stream_id > :after AND es_events.stream_id <= :last
    ) AS step
    GROUP BY step.stream_id
) AS summary
    ON summary.stream_id = es_streams.stream_id
WHERE es_streams.stream_id > :after AND es_streams.stream_id <= :last
ORDER BY es_streams.stream_id;


-- ======== written as text

-- backends/sqlite/connections.py: SQLiteConnections._autocommit_connection
COMMIT;

-- backends/sqlite/connections.py: is_same_transaction
RELEASE SAVEPOINT {…};

-- backends/sqlite/connections.py: mark_transaction
SAVEPOINT {…};

-- backends/sqlite/direct.py: _append
ROLLBACK;

-- backends/sqlite/direct.py: _commit
COMMIT;

-- backends/sqlite/direct.py: direct
COMMIT;

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

-- backends/sqlite/write_lock.py: WriteLock.begin
BEGIN IMMEDIATE;

-- backends/sqlite/write_lock.py: WriteLock.begin
PRAGMA busy_timeout;

-- backends/sqlite/write_lock.py: WriteLock.begin
PRAGMA busy_timeout = 0;

-- backends/sqlite/write_lock.py: WriteLock.begin
PRAGMA busy_timeout = {…};

-- backends/sqlite/write_lock.py: WriteLock.commit
COMMIT;

-- backends/sqlite/write_lock.py: WriteLock.held
ROLLBACK;

-- backends/sqlite/write_lock.py: _driver_timeout
PRAGMA busy_timeout;

-- contrib/django/admin/lists.py: NamesFilter._names
WITH RECURSIVE names(name) AS (
    SELECT min({…}) FROM {…} UNION ALL SELECT {…} FROM names WHERE names.name IS NOT NULL
)
SELECT name
FROM names
WHERE name IS NOT NULL
LIMIT {…};

-- contrib/django/admin/lists.py: time_limit
SELECT setting, setting::int BETWEEN 1 AND %s FROM pg_settings WHERE name = 'statement_timeout';

-- contrib/django/admin/lists.py: time_limit
SELECT set_config('statement_timeout', %s, true);

-- contrib/django/search_path.py
SELECT current_setting('search_path');

-- contrib/django/search_path.py
SELECT set_config('search_path', %s, false) WHERE current_setting('search_path') <> %s;

-- contrib/django/search_path.py
SELECT
    tables.schema,
    project.schema,
    to_regclass(quote_ident(tables.schema) || '.django_migrations') IS NOT NULL,
    current_schema()::text,
    current_setting('search_path')
FROM (SELECT) AS one
LEFT JOIN (
    SELECT n.nspname::text AS schema
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid IN (to_regclass('es_schema'), to_regclass('es_alembic_version'))
    ORDER BY c.oid = to_regclass('es_schema') DESC
    LIMIT 1
) AS tables
    ON true
LEFT JOIN (
    SELECT n.nspname::text AS schema
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass('django_migrations')
) AS project
    ON true;

-- contrib/django/sqlite.py: DjangoSQLite.defer_foreign_keys
PRAGMA defer_foreign_keys = ON;

-- core/execution.py: JoinedTransaction.transaction
SAVEPOINT eventstore;

-- core/execution.py: JoinedTransaction.transaction
RELEASE SAVEPOINT eventstore;

-- core/execution.py: JoinedTransaction.transaction
ROLLBACK TO SAVEPOINT eventstore;

-- detaching/detach.py
SELECT name, position
FROM {checkpoints}
WHERE position < :last_position
ORDER BY name
LIMIT :at_most;

-- detaching/detach.py
SELECT projection, position
FROM {dead_letters}
WHERE status = 'pending' AND position BETWEEN :first_position AND :last_position
ORDER BY position, projection
LIMIT :at_most;

-- detaching/detach.py
SELECT DISTINCT event.stream_id
FROM {part} AS event
JOIN {streams} AS head ON head.stream_id = event.stream_id
WHERE head.deleted_version IS NULL AND head.archived_version IS NULL
LIMIT :at_most;

-- detaching/detach.py
INSERT INTO {detached_parts} (first_position, last_position, events, name, location, sha256)
VALUES (:first_position, :last_position, :events, :name, :location, :sha256);

-- detaching/detach.py
UPDATE {detached_parts}
SET location = :location, sha256 = :sha256
WHERE name = :name AND sha256 IS NULL;

-- detaching/detach.py
UPDATE {schema_table} SET breaking_version = :version WHERE breaking_version < :version;

-- detaching/detach.py
SELECT held.virtualtransaction, held.pid
FROM pg_locks AS held
JOIN pg_stat_activity AS session ON session.pid = held.pid
WHERE held.locktype = 'virtualxid'
    AND held.mode = 'ExclusiveLock'
    AND held.granted
    AND held.pid <> pg_backend_pid()
    AND session.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND session.usesysid IS NOT NULL
    AND session.usesysid <> 0;

-- detaching/detach.py: _Detach._detach.attempt
ALTER TABLE {…} DETACH PARTITION {…} {…};

-- detaching/detach.py: _Detach._execute
SELECT set_config('lock_timeout', :value, false);

-- detaching/detach.py: _Detach._list
SET LOCAL synchronous_commit = on;

-- detaching/detach.py: _Detach.drop.attempt
DROP TABLE {…};

-- tables/after_position.py: start_streams_at_newest_position
ALTER TABLE {…} ALTER COLUMN after_position SET DEFAULT {…};

-- transfer/sources/sqlite_catalog.py: SQLiteCatalog._has_row_ids
SELECT rowid FROM {…} LIMIT 0;

-- transfer/sources/sqlite_catalog.py: SQLiteCatalog.describe
SELECT name FROM pragma_database_list;

-- transfer/sources/sqlite_catalog.py: SQLiteCatalog.describe
SELECT name, type, "notnull", pk FROM pragma_table_xinfo(:name, :schema) WHERE hidden <> 1;

-- transfer/sources/sqlite_catalog.py: SQLiteCatalog.describe
SELECT name FROM pragma_index_list(:name, :schema) WHERE "unique" AND NOT partial;

-- transfer/sources/sqlite_catalog.py: SQLiteCatalog.describe
SELECT name FROM pragma_index_info(:index, :schema);

-- views/applying.py: EventViews._drop
DROP VIEW {…};

-- views/applying.py: EventViews._found_on_postgresql
SELECT
    wanted.name,
    CASE c.relkind
        WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view'
        WHEN 'i' THEN 'index'
        WHEN 'S' THEN 'sequence'
        ELSE 'table'
        END,
    obj_description(c.oid, 'pg_class')
FROM unnest(CAST(:names AS text[]), CAST(:qualified AS text[])) AS wanted(name, qualified)
JOIN pg_class AS c ON c.oid = to_regclass(wanted.qualified);

-- views/applying.py: EventViews._is_partitioned
SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:name);

-- views/applying.py: EventViews._make_views
SELECT pg_advisory_xact_lock(hashtext(:name));

-- views/applying.py: EventViews._state_of_index
SELECT 'valid' FROM sqlite_master WHERE type = 'index' AND name = :name;

-- views/applying.py: EventViews._state_of_index
SELECT CASE WHEN indisvalid THEN 'valid' ELSE 'invalid' END
FROM pg_index
WHERE indexrelid = to_regclass(:name);

-- views/applying.py: EventViews.apply
DROP INDEX CONCURRENTLY {…};

-- views/applying.py: _found_on_sqlite
SELECT name, type, sql FROM sqlite_master;

-- views/on_sqlite.py: create_index
CREATE INDEX {…} ON es_events ({…}) WHERE {…};

-- views/on_sqlite.py: create_view
CREATE VIEW {…} AS SELECT {…} FROM es_events WHERE {…} AND {…};

-- views/on_sqlite.py: drop_view
DROP VIEW {…};


-- ======== on tables before version 6

-- deletion.find_tombstone
SELECT es_streams.version, es_events.event_type AS event_type, es_events.codec, es_events.data
FROM es_streams
LEFT OUTER JOIN es_events
    ON es_events.stream_id = es_streams.stream_id
        AND es_events.version = es_streams.version
        AND es_events.event_type IN ('$stream-deleted', '$stream-archived')
WHERE es_streams.stream_id = :stream_id;

-- heads.write_head(Expectation.VERSION)
UPDATE es_streams
SET version=(es_streams.version + :count), updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE es_streams.stream_id = :stream_id AND 1 = 1 AND es_streams.version = :expected
RETURNING version;

-- heads.write_head(Expectation.EXISTING)
UPDATE es_streams
SET version=(es_streams.version + :count), updated_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE es_streams.stream_id = :stream_id AND 1 = 1 AND es_streams.version > 0
RETURNING version;

-- heads.write_head(Expectation.NOTHING)
INSERT INTO es_streams (version, stream_id)
VALUES (:count, :stream_id)
ON CONFLICT (stream_id)
DO UPDATE SET version = (es_streams.version + :count), updated_at = excluded.updated_at
WHERE 1 = 1
RETURNING version;
