-- What the store sends to postgresql. Made by `python -m tests.golden_sql`: change the code, not this file.


-- ======== statements

-- aggregates.count_streams
SELECT count(*) AS streams
FROM es_streams
WHERE es_streams.stream_id >= %(category)b::TEXT
    AND es_streams.stream_id < (%(category)b::TEXT || '.')
    AND es_streams.category = %(category)b::TEXT;

-- aggregates.load_aggregate
-- with name_of_es_events = 'es_events'
WITH snapshot AS (
    SELECT
        snapshots.version AS version,
        snapshots.schema_version AS schema_version,
        snapshots.codec AS codec,
        snapshots.state AS state
    FROM snapshots, es_streams
    WHERE snapshots.stream_id = %(stream_id)b::TEXT COLLATE "C"
        AND snapshots.schema_version = %(schema_version)b::INTEGER
        AND snapshots.version <= %(up_to_version)b::BIGINT
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
        page.position AS position,
        page.stream_id AS stream_id,
        page.version AS version,
        page.event_id AS event_id,
        page.event_type AS event_type,
        page.schema_version AS schema_version,
        page.codec AS codec,
        page.data AS data,
        page.metadata AS metadata,
        page.recorded_at AS recorded_at
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
        WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
            AND es_events.version > coalesce((SELECT snapshot.version FROM snapshot), 0)
            AND es_events.version <= %(up_to_version)b::BIGINT
        ORDER BY es_events.version
        LIMIT (SELECT %(page_size)b::BIGINT AS page_size)
    ) AS page
    UNION ALL
    SELECT
        0 AS position,
        NULL AS stream_id,
        0 AS version,
        NULL AS event_id,
        NULL AS event_type,
        NULL AS schema_version,
        NULL AS codec,
        NULL AS data,
        NULL AS metadata,
        NULL AS recorded_at
    WHERE to_regclass(%(name_of_es_events)b::TEXT) != CAST(%(table)b::BIGINT AS OID)
        AND pg_backend_pid() > 0
) AS tail;

-- aggregates.snapshot_versions
SELECT es_streams.stream_id, es_streams.version, coalesce(snapshots.version, 0) AS snapshot_version
FROM es_streams
LEFT OUTER JOIN snapshots
    ON snapshots.stream_id = es_streams.stream_id
        AND snapshots.schema_version = %(schema_version)b::INTEGER
WHERE es_streams.stream_id >= %(category)b::TEXT
    AND es_streams.stream_id < (%(category)b::TEXT || '.')
    AND es_streams.category = %(category)b::TEXT
    AND es_streams.stream_id > %(after_stream_id)b::TEXT
ORDER BY es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- aggregates.version_as_of
SELECT es_events.version
FROM es_events
WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
    AND es_events.recorded_at <= %(as_of)b::TIMESTAMP WITH TIME ZONE
ORDER BY es_events.version DESC
LIMIT 1;

-- boundaries.find_event_at
SELECT es_events.stream_id, es_events.event_type
FROM es_events
WHERE es_events.position = %(position)b::BIGINT;

-- boundaries.raise_generation
INSERT INTO es_event_tags (position, tag, event_type)
SELECT coalesce(max(tag.position), 0) + 1 AS position, '' AS tag, '' AS event_type
FROM es_event_tags AS tag
WHERE tag.tag = '';

-- browsing.count_some_streams
SELECT count(*) AS streams
FROM (SELECT 1 AS one FROM es_streams LIMIT %(at_most)b::BIGINT + 1) AS counted;

-- browsing.count_tag
SELECT count(*) AS events
FROM (
    SELECT 1 AS one
    FROM es_event_tags
    WHERE es_event_tags.tag = %(tag)b::TEXT
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
WHERE es_dead_letters.projection = %(projection)b::TEXT
    AND es_dead_letters.position < %(before_position)b::BIGINT
ORDER BY es_dead_letters.position DESC
LIMIT 201;

-- browsing.end_of_window
SELECT es_event_tags.position
FROM es_event_tags
WHERE es_event_tags.tag = %(tag)b::TEXT AND es_event_tags.position < %(before_position)b::BIGINT
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
    WHERE own.tag = %(tag)b::TEXT AND own.position < %(before_position)b::BIGINT
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
    WHERE own.tag = %(tag)b::TEXT AND own.position < %(before_position)b::BIGINT
    ORDER BY own.position DESC
    LIMIT 1000
) AS window_of_tag
WHERE (
    SELECT 1 AS one
    FROM es_event_tags AS tags_0
    WHERE tags_0.tag = %(tags_0)b::TEXT AND tags_0.position = window_of_tag.position
) = 1
    AND (
        SELECT 1 AS one
        FROM es_event_tags AS tags_1
        WHERE tags_1.tag = %(tags_1)b::TEXT AND tags_1.position = window_of_tag.position
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
WHERE es_dead_letters.projection = %(projection)b::TEXT
    AND es_dead_letters.position = %(at_position)b::BIGINT;

-- browsing.heads_of_recent_events(of_category=False)
WITH recent AS (
    SELECT
        es_events.position AS position,
        es_events.stream_id AS stream_id,
        es_events.version AS version,
        es_events.event_type AS event_type,
        es_events.recorded_at AS recorded_at
    FROM es_events
    WHERE es_events.position < %(before_position)b::BIGINT
        AND es_events.position >= %(from_position)b::BIGINT
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
    WHERE (es_events.category, es_events.position) < (%(category)b::TEXT, %(before_position)b::BIGINT)
        AND es_events.category >= %(category)b::TEXT
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
        WHERE es_events.position >= sample.position + %(stride)b::BIGINT
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
        WHERE es_events.position >= sample.position + %(stride)b::BIGINT
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
        AND (SELECT head.category FROM es_streams AS head WHERE head.stream_id = sampled.stream_id) = %(category)b::TEXT
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
WHERE es_dead_letters.projection = %(projection)b::TEXT
    AND es_dead_letters.status = 'pending'
    AND (es_dead_letters.stream_id, es_dead_letters.position) >= (
        %(from_id)b::TEXT, %(from_position)b::BIGINT
    )
ORDER BY es_dead_letters.stream_id, es_dead_letters.position
LIMIT 201;

-- browsing.position_before
SELECT es_events.position
FROM es_events
WHERE es_events.position < %(before_position)b::BIGINT
ORDER BY es_events.position DESC
LIMIT 1;

-- browsing.projections_from
SELECT es_checkpoints.name
FROM es_checkpoints
WHERE es_checkpoints.partition_of IS NULL AND es_checkpoints.name >= %(from_name)b::TEXT
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
WHERE (snapshots.stream_id, snapshots.schema_version) >= (
    %(from_id)b::TEXT, %(from_schema_version)b::INTEGER
)
    AND snapshots.stream_id < %(to_id)b::TEXT
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
    (metadata ->> 'causation_id') AS causation_id
FROM es_events
WHERE es_events.event_id >= %(value)b::UUID AND es_events.event_id <= %(value)b::UUID
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
    (metadata ->> 'causation_id') AS causation_id
FROM es_events
WHERE (metadata ->> 'correlation_id') >= %(value)b::TEXT
    AND (metadata ->> 'correlation_id') <= %(value)b::TEXT
ORDER BY (metadata ->> 'correlation_id')
LIMIT 201;

-- browsing.some_by_metadata('causation_id')
SELECT
    es_events.position,
    es_events.stream_id,
    es_events.version,
    es_events.event_id,
    es_events.event_type,
    es_events.recorded_at,
    (metadata ->> 'causation_id') AS causation_id
FROM es_events
WHERE (metadata ->> 'causation_id') >= %(value)b::TEXT
    AND (metadata ->> 'causation_id') <= %(value)b::TEXT
ORDER BY (metadata ->> 'causation_id')
LIMIT 201;

-- browsing.streams_from
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= %(from_id)b::TEXT AND es_streams.stream_id < %(to_id)b::TEXT
ORDER BY es_streams.stream_id
LIMIT 201;

-- browsing.tags_from
WITH RECURSIVE found(tag, number) AS (
    SELECT
        (
            SELECT first_tag.tag
            FROM es_event_tags AS first_tag
            WHERE first_tag.tag >= %(from_tag)b::TEXT AND first_tag.tag < %(to_tag)b::TEXT
            ORDER BY first_tag.tag
            LIMIT 1
        ) AS tag,
        1 AS number
    UNION ALL
    SELECT
        (
            SELECT next_tag.tag
            FROM es_event_tags AS next_tag
            WHERE next_tag.tag > found.tag AND next_tag.tag < %(to_tag)b::TEXT
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
SELECT (metadata ->> '$tags') AS tags
FROM es_events
WHERE es_events.position >= %(from_position)b::BIGINT
ORDER BY es_events.position DESC
LIMIT 1000;

-- deletion.delete_events
DELETE FROM es_events
WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
    AND es_events.version < %(before_version)b::BIGINT;

-- deletion.discard_dead_letters_of_stream
UPDATE es_dead_letters
SET closed_at=statement_timestamp(), status='discarded', note=%(note)b::TEXT
WHERE es_dead_letters.status = 'pending' AND es_dead_letters.stream_id = %(stream_id)b::TEXT COLLATE "C";

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
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C";

-- deletion.mark_archived
UPDATE es_streams
SET archived_version=es_streams.version
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C";

-- deletion.mark_deleted
UPDATE es_streams
SET deleted_version=es_streams.version
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C";

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
    SELECT CAST(%(first)b::BIGINT AS BIGINT) AS position
    UNION ALL
    SELECT coalesce(
        (
            SELECT min(es_events.position) AS position
            FROM es_events
            WHERE es_events.event_type = %(event_type)b::TEXT
                AND es_events.position >= sample.position + %(stride)b::BIGINT
                AND es_events.position <= %(last)b::BIGINT
        ),
        %(last)b::BIGINT
    ) AS position
    FROM sample
    WHERE sample.position < %(last)b::BIGINT
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
WHERE es_events.position >= %(position)b::BIGINT
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
WHERE es_events.position > %(after_position)b::BIGINT AND es_events.position <= %(up_to_position)b::BIGINT
ORDER BY es_events.position
LIMIT %(page_size)b::BIGINT;

-- global_order.tombstone_after
SELECT es_events.position
FROM es_events
WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
    AND es_events.version > %(version)b::BIGINT
    AND es_events.event_type IN ('$stream-deleted', '$stream-archived')
ORDER BY es_events.version DESC
LIMIT 1;

-- heads.write_head(Expectation.NEW)
INSERT INTO es_streams (version, stream_id)
VALUES (%(count)b::BIGINT, %(stream_id)b::TEXT COLLATE "C")
ON CONFLICT (stream_id)
DO NOTHING
RETURNING es_streams.version;

-- heads.write_head(Expectation.VERSION)
UPDATE es_streams
SET version=(es_streams.version + %(count)b::BIGINT), updated_at=statement_timestamp()
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C"
    AND es_streams.deleted_version IS NULL
    AND es_streams.archived_version IS NULL
    AND es_streams.version = %(expected)b::BIGINT
RETURNING es_streams.version;

-- heads.write_head(Expectation.EXISTING)
UPDATE es_streams
SET version=(es_streams.version + %(count)b::BIGINT), updated_at=statement_timestamp()
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C"
    AND es_streams.deleted_version IS NULL
    AND es_streams.archived_version IS NULL
    AND es_streams.version > 0
RETURNING es_streams.version;

-- heads.write_head(Expectation.NOTHING)
INSERT INTO es_streams (version, stream_id)
VALUES (%(count)b::BIGINT, %(stream_id)b::TEXT COLLATE "C")
ON CONFLICT (stream_id)
DO UPDATE SET version = (es_streams.version + %(count)b::BIGINT), updated_at = excluded.updated_at
WHERE es_streams.deleted_version IS NULL AND es_streams.archived_version IS NULL
RETURNING es_streams.version;

-- listing.find_stream
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C";

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
WHERE (snapshots.stream_id, snapshots.schema_version) > (
    %(after_stream_id)b::TEXT, %(after_schema_version)b::INTEGER
)
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT %(page_size)b::BIGINT;

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
WHERE (snapshots.stream_id, snapshots.schema_version) > (
    %(after_stream_id)b::TEXT, %(after_schema_version)b::INTEGER
)
    AND snapshots.stream_id >= %(category)b::TEXT
    AND snapshots.stream_id < (%(category)b::TEXT || '.')
    AND es_streams.category = %(category)b::TEXT
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.ID, of_category=False, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id > %(after_stream_id)b::TEXT
ORDER BY es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.ID, of_category=False, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
ORDER BY es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.ID, of_category=True, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= %(category)b::TEXT
    AND es_streams.stream_id < (%(category)b::TEXT || '.')
    AND es_streams.category = %(category)b::TEXT
    AND es_streams.stream_id > %(after_stream_id)b::TEXT
ORDER BY es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.ID, of_category=True, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= %(category)b::TEXT
    AND es_streams.stream_id < (%(category)b::TEXT || '.')
    AND es_streams.category = %(category)b::TEXT
ORDER BY es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.SIZE, of_category=False, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.version < %(after_version)b::BIGINT
    OR es_streams.version = %(after_version)b::BIGINT
    AND es_streams.stream_id > %(after_stream_id)b::TEXT
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.SIZE, of_category=False, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.SIZE, of_category=True, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= %(category)b::TEXT
    AND es_streams.stream_id < (%(category)b::TEXT || '.')
    AND es_streams.category = %(category)b::TEXT
    AND (
        es_streams.version < %(after_version)b::BIGINT
            OR es_streams.version = %(after_version)b::BIGINT
            AND es_streams.stream_id > %(after_stream_id)b::TEXT
    )
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.SIZE, of_category=True, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= %(category)b::TEXT
    AND es_streams.stream_id < (%(category)b::TEXT || '.')
    AND es_streams.category = %(category)b::TEXT
ORDER BY es_streams.version DESC, es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.RECENT, of_category=False, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.updated_at < %(after_time)b::TIMESTAMP WITH TIME ZONE
    OR es_streams.updated_at = %(after_time)b::TIMESTAMP WITH TIME ZONE
    AND es_streams.stream_id > %(after_stream_id)b::TEXT
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.RECENT, of_category=False, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.RECENT, of_category=True, is_first=False)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= %(category)b::TEXT
    AND es_streams.stream_id < (%(category)b::TEXT || '.')
    AND es_streams.category = %(category)b::TEXT
    AND (
        es_streams.updated_at < %(after_time)b::TIMESTAMP WITH TIME ZONE
            OR es_streams.updated_at = %(after_time)b::TIMESTAMP WITH TIME ZONE
            AND es_streams.stream_id > %(after_stream_id)b::TEXT
    )
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

-- listing.list_streams(StreamOrder.RECENT, of_category=True, is_first=True)
SELECT es_streams.stream_id, es_streams.version, es_streams.created_at, es_streams.updated_at
FROM es_streams
WHERE es_streams.stream_id >= %(category)b::TEXT
    AND es_streams.stream_id < (%(category)b::TEXT || '.')
    AND es_streams.category = %(category)b::TEXT
ORDER BY es_streams.updated_at DESC, es_streams.stream_id
LIMIT %(page_size)b::BIGINT;

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
WHERE es_streams.version >= %(min_version)b::BIGINT;

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
WHERE es_streams.version >= %(min_version)b::BIGINT
    AND es_streams.stream_id >= %(category)b::TEXT
    AND es_streams.stream_id < (%(category)b::TEXT || '.')
    AND es_streams.category = %(category)b::TEXT;

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
WHERE es_events.position + 0 > %(after_position)b::BIGINT AND es_events.event_id = %(value)b::UUID
ORDER BY es_events.position + 0
LIMIT %(page_size)b::BIGINT;

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
WHERE es_events.position + 0 > %(after_position)b::BIGINT
    AND (metadata ->> 'correlation_id') = %(value)b::TEXT
ORDER BY es_events.position + 0
LIMIT %(page_size)b::BIGINT;

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
WHERE es_events.position + 0 > %(after_position)b::BIGINT
    AND (metadata ->> 'causation_id') = %(value)b::TEXT
ORDER BY es_events.position + 0
LIMIT %(page_size)b::BIGINT;

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
    WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
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
    WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
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
WHERE event.position > %(after_position)b::BIGINT
ORDER BY event.position
LIMIT %(page_size)b::BIGINT;

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
WHERE (event.stream_id, event.version) > (%(after_stream_id)b::TEXT, %(after_version)b::BIGINT)
ORDER BY event.stream_id, event.version
LIMIT %(page_size)b::BIGINT;

-- postgresql.append.append(Expectation.NEW)
WITH
    head AS (
        INSERT INTO es_streams (version, stream_id)
        VALUES (%(count)b::BIGINT, %(stream_id)b::TEXT COLLATE "C")
        ON CONFLICT (stream_id)
        DO NOTHING
        RETURNING es_streams.version
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            %(stream_id)b::TEXT AS stream_id,
            (head.version - %(count)b::BIGINT) + event.ordinal AS version,
            event.event_id AS event_id,
            event.event_type AS event_type,
            event.schema_version AS schema_version,
            event.codec AS codec,
            event.data AS data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM head
        JOIN unnest(
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
            ON true
        ORDER BY event.ordinal
        RETURNING es_events.stream_id, es_events.version, es_events.position
    )
SELECT
    max(stored.version) AS version,
    array_agg(stored.position ORDER BY stored.position) AS positions
FROM stored
HAVING count(*) > 0;

-- postgresql.append.append(Expectation.VERSION)
WITH
    head AS (
        UPDATE es_streams
        SET version=(es_streams.version + %(count)b::BIGINT), updated_at=statement_timestamp()
        WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C"
            AND es_streams.deleted_version IS NULL
            AND es_streams.archived_version IS NULL
            AND es_streams.version = %(expected)b::BIGINT
        RETURNING es_streams.version
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            %(stream_id)b::TEXT AS stream_id,
            (head.version - %(count)b::BIGINT) + event.ordinal AS version,
            event.event_id AS event_id,
            event.event_type AS event_type,
            event.schema_version AS schema_version,
            event.codec AS codec,
            event.data AS data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM head
        JOIN unnest(
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
            ON true
        ORDER BY event.ordinal
        RETURNING es_events.stream_id, es_events.version, es_events.position
    )
SELECT
    max(stored.version) AS version,
    array_agg(stored.position ORDER BY stored.position) AS positions
FROM stored
HAVING count(*) > 0;

-- postgresql.append.append(Expectation.EXISTING)
WITH
    head AS (
        UPDATE es_streams
        SET version=(es_streams.version + %(count)b::BIGINT), updated_at=statement_timestamp()
        WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C"
            AND es_streams.deleted_version IS NULL
            AND es_streams.archived_version IS NULL
            AND es_streams.version > 0
        RETURNING es_streams.version
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            %(stream_id)b::TEXT AS stream_id,
            (head.version - %(count)b::BIGINT) + event.ordinal AS version,
            event.event_id AS event_id,
            event.event_type AS event_type,
            event.schema_version AS schema_version,
            event.codec AS codec,
            event.data AS data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM head
        JOIN unnest(
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
            ON true
        ORDER BY event.ordinal
        RETURNING es_events.stream_id, es_events.version, es_events.position
    )
SELECT
    max(stored.version) AS version,
    array_agg(stored.position ORDER BY stored.position) AS positions
FROM stored
HAVING count(*) > 0;

-- postgresql.append.append(Expectation.NOTHING)
WITH
    head AS (
        INSERT INTO es_streams (version, stream_id)
        VALUES (%(count)b::BIGINT, %(stream_id)b::TEXT COLLATE "C")
        ON CONFLICT (stream_id)
        DO UPDATE SET
            version = (es_streams.version + %(count)b::BIGINT),
            updated_at = excluded.updated_at
        WHERE es_streams.deleted_version IS NULL AND es_streams.archived_version IS NULL
        RETURNING es_streams.version
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            %(stream_id)b::TEXT AS stream_id,
            (head.version - %(count)b::BIGINT) + event.ordinal AS version,
            event.event_id AS event_id,
            event.event_type AS event_type,
            event.schema_version AS schema_version,
            event.codec AS codec,
            event.data AS data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM head
        JOIN unnest(
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
            ON true
        ORDER BY event.ordinal
        RETURNING es_events.stream_id, es_events.version, es_events.position
    )
SELECT
    max(stored.version) AS version,
    array_agg(stored.position ORDER BY stored.position) AS positions
FROM stored
HAVING count(*) > 0;

-- postgresql.append.append_to_many
WITH
    advanced AS (
        UPDATE es_streams
        SET version=head.version, updated_at=statement_timestamp()
        FROM unnest(%(heads)b::TEXT[], %(head_versions)b::BIGINT[]) AS head(stream_id, version)
        WHERE es_streams.stream_id = head.stream_id
        RETURNING es_streams.stream_id
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            event.stream_id AS stream_id,
            event.version AS version,
            event.event_id AS event_id,
            event.event_type AS event_type,
            event.schema_version AS schema_version,
            event.codec AS codec,
            event.data AS data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM unnest(
            %(stream_ids)b::TEXT[],
            %(versions)b::BIGINT[],
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            stream_id, version, event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
        ORDER BY event.ordinal
        RETURNING es_events.stream_id, es_events.version, es_events.position
    )
SELECT array_agg(stored.position ORDER BY stored.position) AS positions
FROM stored;

-- postgresql.append.create_heads
INSERT INTO es_streams (stream_id, version)
SELECT head.stream_id, CAST(0 AS BIGINT) AS version
FROM unnest(%(stream_ids)b::TEXT[]) AS head(stream_id)
ORDER BY head.stream_id COLLATE "C"
ON CONFLICT (stream_id)
DO NOTHING;

-- postgresql.append.lock_heads
SELECT es_streams.stream_id, es_streams.version
FROM es_streams
WHERE es_streams.stream_id = any(%(stream_ids)b::TEXT[])
ORDER BY es_streams.stream_id
FOR NO KEY UPDATE;

-- postgresql.append.positions_between
SELECT array_agg(es_events.position ORDER BY es_events.version) AS positions
FROM es_events
WHERE es_events.stream_id = %(stream_id)b::TEXT
    AND es_events.version > %(after_version)b::BIGINT
    AND es_events.version <= %(up_to_version)b::BIGINT;

-- postgresql.append.positions_of
SELECT array_agg(es_events.position ORDER BY es_events.version) AS positions
FROM es_events
WHERE es_events.stream_id = %(stream_id)b::TEXT AND es_events.version = any(%(versions)b::BIGINT[]);

-- postgresql.append_group.append_group
WITH
    known AS (
        SELECT
            target.number,
            target.stream_id COLLATE "C" AS stream_id,
            target.count,
            target.lowest,
            target.highest,
            head.version
        FROM unnest(
            %(stream_ids)b::TEXT[],
            %(counts)b::BIGINT[],
            %(lowest)b::BIGINT[],
            %(highest)b::BIGINT[]
        ) WITH ORDINALITY AS target(stream_id, count, lowest, highest, number)
        LEFT JOIN es_streams AS head ON head.stream_id = (target.stream_id COLLATE "C")
        WHERE (SELECT set_config('lock_timeout', '10ms', true) AS patience) IS NOT NULL
    ),
    created AS (
        INSERT INTO es_streams (stream_id, version)
        SELECT known.stream_id, known.count
        FROM known
        WHERE known.version IS NULL AND known.lowest = 0
        ORDER BY known.number
        ON CONFLICT (stream_id)
        DO NOTHING
        RETURNING stream_id
    ),
    locked AS (
        SELECT
            known.number,
            head.stream_id,
            known.count,
            head.version,
            head.version BETWEEN known.lowest
                AND known.highest
                AND head.deleted_version IS NULL
                AND head.archived_version IS NULL AS is_accepted
        FROM known
        JOIN es_streams AS head ON head.stream_id = known.stream_id
        WHERE known.version BETWEEN known.lowest
            AND known.highest
            AND (SELECT count(*) AS number FROM created) >= 0
        ORDER BY known.number
        FOR NO KEY UPDATE OF head SKIP LOCKED
    ),
    advanced AS (
        UPDATE es_streams AS head
        SET version = locked.version + locked.count, updated_at = statement_timestamp()
        FROM locked
        WHERE head.stream_id = locked.stream_id AND locked.is_accepted
        RETURNING locked.number, locked.version
    ),
    accepted AS (
        SELECT array_agg(
            CASE WHEN created.stream_id IS NULL THEN advanced.version ELSE 0 END
            ORDER BY known.number
        ) AS versions
        FROM known
        LEFT JOIN created ON created.stream_id = known.stream_id
        LEFT JOIN advanced ON advanced.number = known.number
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            event.stream_id,
            accepted.versions[event.number] + event.offset_in_stream AS version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.codec,
            event.data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM unnest(
            %(event_streams)b::TEXT[],
            %(numbers)b::INTEGER[],
            %(offsets)b::BIGINT[],
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            stream_id,
            number,
            offset_in_stream,
            event_id,
            event_type,
            schema_version,
            codec,
            data,
            metadata,
            ordinal
        )
        JOIN accepted ON accepted.versions[event.number] IS NOT NULL
        ORDER BY event.ordinal
        RETURNING stream_id, version, position
    )
SELECT stored.stream_id, stored.version, stored.position
FROM stored;

-- postgresql.append_one.append_one(Expectation.NEW)
WITH head AS (
    INSERT INTO es_streams (version, stream_id)
    VALUES (%(count)b::BIGINT, %(stream_id)b::TEXT COLLATE "C")
    ON CONFLICT (stream_id)
    DO NOTHING
    RETURNING es_streams.version
)
INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
SELECT
    %(stream_id)b::TEXT AS stream_id,
    CAST(head.version AS BIGINT) AS version,
    %(event_id)b::UUID AS event_id,
    %(event_type)b::TEXT AS event_type,
    %(schema_version)b::INTEGER AS schema_version,
    %(codec)b::SMALLINT AS codec,
    %(data)b AS data,
    CAST(%(metadata)b::TEXT AS JSONB) AS metadata
FROM head
RETURNING es_events.version, es_events.position;

-- postgresql.append_one.append_one(Expectation.VERSION)
WITH head AS (
    UPDATE es_streams
    SET version=(es_streams.version + %(count)b::BIGINT), updated_at=statement_timestamp()
    WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C"
        AND es_streams.deleted_version IS NULL
        AND es_streams.archived_version IS NULL
        AND es_streams.version = %(expected)b::BIGINT
    RETURNING es_streams.version
)
INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
SELECT
    %(stream_id)b::TEXT AS stream_id,
    CAST(head.version AS BIGINT) AS version,
    %(event_id)b::UUID AS event_id,
    %(event_type)b::TEXT AS event_type,
    %(schema_version)b::INTEGER AS schema_version,
    %(codec)b::SMALLINT AS codec,
    %(data)b AS data,
    CAST(%(metadata)b::TEXT AS JSONB) AS metadata
FROM head
RETURNING es_events.version, es_events.position;

-- postgresql.append_one.append_one(Expectation.EXISTING)
WITH head AS (
    UPDATE es_streams
    SET version=(es_streams.version + %(count)b::BIGINT), updated_at=statement_timestamp()
    WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C"
        AND es_streams.deleted_version IS NULL
        AND es_streams.archived_version IS NULL
        AND es_streams.version > 0
    RETURNING es_streams.version
)
INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
SELECT
    %(stream_id)b::TEXT AS stream_id,
    CAST(head.version AS BIGINT) AS version,
    %(event_id)b::UUID AS event_id,
    %(event_type)b::TEXT AS event_type,
    %(schema_version)b::INTEGER AS schema_version,
    %(codec)b::SMALLINT AS codec,
    %(data)b AS data,
    CAST(%(metadata)b::TEXT AS JSONB) AS metadata
FROM head
RETURNING es_events.version, es_events.position;

-- postgresql.append_one.append_one(Expectation.NOTHING)
WITH head AS (
    INSERT INTO es_streams (version, stream_id)
    VALUES (%(count)b::BIGINT, %(stream_id)b::TEXT COLLATE "C")
    ON CONFLICT (stream_id)
    DO UPDATE SET
        version = (es_streams.version + %(count)b::BIGINT),
        updated_at = excluded.updated_at
    WHERE es_streams.deleted_version IS NULL AND es_streams.archived_version IS NULL
    RETURNING es_streams.version
)
INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
SELECT
    %(stream_id)b::TEXT AS stream_id,
    CAST(head.version AS BIGINT) AS version,
    %(event_id)b::UUID AS event_id,
    %(event_type)b::TEXT AS event_type,
    %(schema_version)b::INTEGER AS schema_version,
    %(codec)b::SMALLINT AS codec,
    %(data)b AS data,
    CAST(%(metadata)b::TEXT AS JSONB) AS metadata
FROM head
RETURNING es_events.version, es_events.position;

-- postgresql.append_tagged.append_tagged(Expectation.NEW)
WITH
    item AS MATERIALIZED (
        SELECT item.tags, item.types, item.pivot, item.position, item.event_id
        FROM jsonb_to_recordset(CAST(%(items)b::TEXT AS JSONB)) AS item(
            tags TEXT[], types TEXT[], pivot TEXT, position BIGINT, event_id UUID
        )
    ),
    compared AS MATERIALIZED (
        SELECT
            CASE
            WHEN current_setting('eventstore.tag_locks', true) <> ''
                THEN current_setting('transaction_isolation') = 'read committed'
            AND NOT EXISTS (
                SELECT 1
                FROM item
                WHERE item.position > 0
                    AND NOT EXISTS (
                        SELECT 1
                        FROM es_events AS event
                        WHERE event.position = item.position AND event.event_id = item.event_id
                        OFFSET 0
                    )
            )
            AND (
                %(generation)b::BIGINT IS NULL
                    OR %(generation)b::BIGINT = coalesce(
                        (
                            SELECT max(tag.position) AS generation
                            FROM es_event_tags AS tag
                            WHERE tag.tag = ''
                        ),
                        0
                    )
            )
                END AS is_current,
        (
            SELECT min(change.position) AS position
            FROM item
            JOIN LATERAL (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (item.pivot COLLATE "C")
                    AND tag.position > item.position
                    AND (item.types IS NULL OR tag.event_type = any(item.types))
                    AND (
                        cardinality(item.tags) = 1
                            OR NOT EXISTS (
                                SELECT 1
                                FROM unnest(item.tags) AS wanted(name)
                                WHERE NOT EXISTS (
                                    SELECT 1
                                    FROM es_event_tags AS other
                                    WHERE other.tag = (wanted.name COLLATE "C")
                                        AND other.position = tag.position
                                    OFFSET 0
                                )
                                OFFSET 0
                            )
                    )
                ORDER BY tag.position
                LIMIT 1
            ) AS change
                ON true
        ) AS changed
    ),
    verdict AS MATERIALIZED (
        SELECT
            compared.is_current,
            compared.changed,
            compared.is_current AND compared.changed IS NULL AS is_accepted
        FROM compared
    ),
    head AS (
        INSERT INTO es_streams AS head (stream_id, version)
        SELECT %(stream_id)b::TEXT AS stream_id, %(count)b::BIGINT AS version
        FROM verdict
        WHERE verdict.is_accepted
        ON CONFLICT (stream_id)
        DO NOTHING
        RETURNING head.version
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            %(stream_id)b::TEXT AS stream_id,
            head.version - %(count)b::BIGINT + event.ordinal AS version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.codec,
            event.data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM head
        JOIN unnest(
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
            ON true
        ORDER BY event.ordinal
        RETURNING version, position
    ),
    positions AS (
        SELECT
            array_agg(stored.position ORDER BY stored.version) AS of_all,
            max(stored.version) AS version
        FROM stored
    ),
    tagged AS (
        INSERT INTO es_event_tags (position, tag, event_type)
        SELECT positions.of_all[tag.ordinal] AS position, tag.name, tag.event_type
        FROM positions
        JOIN unnest(%(tag_ordinals)b::INTEGER[], %(tags)b::TEXT[], %(tag_types)b::TEXT[]) AS tag(
            ordinal, name, event_type
        )
            ON true
        WHERE positions.version IS NOT NULL
    )
SELECT verdict.is_current, verdict.changed, positions.version, positions.of_all AS positions
FROM verdict
JOIN positions ON true;

-- postgresql.append_tagged.append_tagged(Expectation.VERSION)
WITH
    item AS MATERIALIZED (
        SELECT item.tags, item.types, item.pivot, item.position, item.event_id
        FROM jsonb_to_recordset(CAST(%(items)b::TEXT AS JSONB)) AS item(
            tags TEXT[], types TEXT[], pivot TEXT, position BIGINT, event_id UUID
        )
    ),
    compared AS MATERIALIZED (
        SELECT
            CASE
            WHEN current_setting('eventstore.tag_locks', true) <> ''
                THEN current_setting('transaction_isolation') = 'read committed'
            AND NOT EXISTS (
                SELECT 1
                FROM item
                WHERE item.position > 0
                    AND NOT EXISTS (
                        SELECT 1
                        FROM es_events AS event
                        WHERE event.position = item.position AND event.event_id = item.event_id
                        OFFSET 0
                    )
            )
            AND (
                %(generation)b::BIGINT IS NULL
                    OR %(generation)b::BIGINT = coalesce(
                        (
                            SELECT max(tag.position) AS generation
                            FROM es_event_tags AS tag
                            WHERE tag.tag = ''
                        ),
                        0
                    )
            )
                END AS is_current,
        (
            SELECT min(change.position) AS position
            FROM item
            JOIN LATERAL (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (item.pivot COLLATE "C")
                    AND tag.position > item.position
                    AND (item.types IS NULL OR tag.event_type = any(item.types))
                    AND (
                        cardinality(item.tags) = 1
                            OR NOT EXISTS (
                                SELECT 1
                                FROM unnest(item.tags) AS wanted(name)
                                WHERE NOT EXISTS (
                                    SELECT 1
                                    FROM es_event_tags AS other
                                    WHERE other.tag = (wanted.name COLLATE "C")
                                        AND other.position = tag.position
                                    OFFSET 0
                                )
                                OFFSET 0
                            )
                    )
                ORDER BY tag.position
                LIMIT 1
            ) AS change
                ON true
        ) AS changed
    ),
    verdict AS MATERIALIZED (
        SELECT
            compared.is_current,
            compared.changed,
            compared.is_current AND compared.changed IS NULL AS is_accepted
        FROM compared
    ),
    head AS (
        UPDATE es_streams AS head
        SET version = head.version + %(count)b::BIGINT, updated_at = clock_timestamp()
        FROM verdict
        WHERE verdict.is_accepted
            AND head.stream_id = %(stream_id)b::TEXT
            AND head.version = %(expected)b::BIGINT
            AND head.deleted_version IS NULL
            AND head.archived_version IS NULL
        RETURNING head.version
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            %(stream_id)b::TEXT AS stream_id,
            head.version - %(count)b::BIGINT + event.ordinal AS version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.codec,
            event.data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM head
        JOIN unnest(
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
            ON true
        ORDER BY event.ordinal
        RETURNING version, position
    ),
    positions AS (
        SELECT
            array_agg(stored.position ORDER BY stored.version) AS of_all,
            max(stored.version) AS version
        FROM stored
    ),
    tagged AS (
        INSERT INTO es_event_tags (position, tag, event_type)
        SELECT positions.of_all[tag.ordinal] AS position, tag.name, tag.event_type
        FROM positions
        JOIN unnest(%(tag_ordinals)b::INTEGER[], %(tags)b::TEXT[], %(tag_types)b::TEXT[]) AS tag(
            ordinal, name, event_type
        )
            ON true
        WHERE positions.version IS NOT NULL
    )
SELECT verdict.is_current, verdict.changed, positions.version, positions.of_all AS positions
FROM verdict
JOIN positions ON true;

-- postgresql.append_tagged.append_tagged(Expectation.EXISTING)
WITH
    item AS MATERIALIZED (
        SELECT item.tags, item.types, item.pivot, item.position, item.event_id
        FROM jsonb_to_recordset(CAST(%(items)b::TEXT AS JSONB)) AS item(
            tags TEXT[], types TEXT[], pivot TEXT, position BIGINT, event_id UUID
        )
    ),
    compared AS MATERIALIZED (
        SELECT
            CASE
            WHEN current_setting('eventstore.tag_locks', true) <> ''
                THEN current_setting('transaction_isolation') = 'read committed'
            AND NOT EXISTS (
                SELECT 1
                FROM item
                WHERE item.position > 0
                    AND NOT EXISTS (
                        SELECT 1
                        FROM es_events AS event
                        WHERE event.position = item.position AND event.event_id = item.event_id
                        OFFSET 0
                    )
            )
            AND (
                %(generation)b::BIGINT IS NULL
                    OR %(generation)b::BIGINT = coalesce(
                        (
                            SELECT max(tag.position) AS generation
                            FROM es_event_tags AS tag
                            WHERE tag.tag = ''
                        ),
                        0
                    )
            )
                END AS is_current,
        (
            SELECT min(change.position) AS position
            FROM item
            JOIN LATERAL (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (item.pivot COLLATE "C")
                    AND tag.position > item.position
                    AND (item.types IS NULL OR tag.event_type = any(item.types))
                    AND (
                        cardinality(item.tags) = 1
                            OR NOT EXISTS (
                                SELECT 1
                                FROM unnest(item.tags) AS wanted(name)
                                WHERE NOT EXISTS (
                                    SELECT 1
                                    FROM es_event_tags AS other
                                    WHERE other.tag = (wanted.name COLLATE "C")
                                        AND other.position = tag.position
                                    OFFSET 0
                                )
                                OFFSET 0
                            )
                    )
                ORDER BY tag.position
                LIMIT 1
            ) AS change
                ON true
        ) AS changed
    ),
    verdict AS MATERIALIZED (
        SELECT
            compared.is_current,
            compared.changed,
            compared.is_current AND compared.changed IS NULL AS is_accepted
        FROM compared
    ),
    head AS (
        UPDATE es_streams AS head
        SET version = head.version + %(count)b::BIGINT, updated_at = clock_timestamp()
        FROM verdict
        WHERE verdict.is_accepted
            AND head.stream_id = %(stream_id)b::TEXT
            AND head.version > 0
            AND head.deleted_version IS NULL
            AND head.archived_version IS NULL
        RETURNING head.version
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            %(stream_id)b::TEXT AS stream_id,
            head.version - %(count)b::BIGINT + event.ordinal AS version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.codec,
            event.data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM head
        JOIN unnest(
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
            ON true
        ORDER BY event.ordinal
        RETURNING version, position
    ),
    positions AS (
        SELECT
            array_agg(stored.position ORDER BY stored.version) AS of_all,
            max(stored.version) AS version
        FROM stored
    ),
    tagged AS (
        INSERT INTO es_event_tags (position, tag, event_type)
        SELECT positions.of_all[tag.ordinal] AS position, tag.name, tag.event_type
        FROM positions
        JOIN unnest(%(tag_ordinals)b::INTEGER[], %(tags)b::TEXT[], %(tag_types)b::TEXT[]) AS tag(
            ordinal, name, event_type
        )
            ON true
        WHERE positions.version IS NOT NULL
    )
SELECT verdict.is_current, verdict.changed, positions.version, positions.of_all AS positions
FROM verdict
JOIN positions ON true;

-- postgresql.append_tagged.append_tagged(Expectation.NOTHING)
WITH
    item AS MATERIALIZED (
        SELECT item.tags, item.types, item.pivot, item.position, item.event_id
        FROM jsonb_to_recordset(CAST(%(items)b::TEXT AS JSONB)) AS item(
            tags TEXT[], types TEXT[], pivot TEXT, position BIGINT, event_id UUID
        )
    ),
    compared AS MATERIALIZED (
        SELECT
            CASE
            WHEN current_setting('eventstore.tag_locks', true) <> ''
                THEN current_setting('transaction_isolation') = 'read committed'
            AND NOT EXISTS (
                SELECT 1
                FROM item
                WHERE item.position > 0
                    AND NOT EXISTS (
                        SELECT 1
                        FROM es_events AS event
                        WHERE event.position = item.position AND event.event_id = item.event_id
                        OFFSET 0
                    )
            )
            AND (
                %(generation)b::BIGINT IS NULL
                    OR %(generation)b::BIGINT = coalesce(
                        (
                            SELECT max(tag.position) AS generation
                            FROM es_event_tags AS tag
                            WHERE tag.tag = ''
                        ),
                        0
                    )
            )
                END AS is_current,
        (
            SELECT min(change.position) AS position
            FROM item
            JOIN LATERAL (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (item.pivot COLLATE "C")
                    AND tag.position > item.position
                    AND (item.types IS NULL OR tag.event_type = any(item.types))
                    AND (
                        cardinality(item.tags) = 1
                            OR NOT EXISTS (
                                SELECT 1
                                FROM unnest(item.tags) AS wanted(name)
                                WHERE NOT EXISTS (
                                    SELECT 1
                                    FROM es_event_tags AS other
                                    WHERE other.tag = (wanted.name COLLATE "C")
                                        AND other.position = tag.position
                                    OFFSET 0
                                )
                                OFFSET 0
                            )
                    )
                ORDER BY tag.position
                LIMIT 1
            ) AS change
                ON true
        ) AS changed
    ),
    verdict AS MATERIALIZED (
        SELECT
            compared.is_current,
            compared.changed,
            compared.is_current AND compared.changed IS NULL AS is_accepted
        FROM compared
    ),
    head AS (
        INSERT INTO es_streams AS head (stream_id, version)
        SELECT %(stream_id)b::TEXT AS stream_id, %(count)b::BIGINT AS version
        FROM verdict
        WHERE verdict.is_accepted
        ON CONFLICT (stream_id)
        DO UPDATE SET version = head.version + %(count)b::BIGINT, updated_at = clock_timestamp()
        WHERE head.deleted_version IS NULL AND head.archived_version IS NULL
        RETURNING head.version
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            %(stream_id)b::TEXT AS stream_id,
            head.version - %(count)b::BIGINT + event.ordinal AS version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.codec,
            event.data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM head
        JOIN unnest(
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            event_id, event_type, schema_version, codec, data, metadata, ordinal
        )
            ON true
        ORDER BY event.ordinal
        RETURNING version, position
    ),
    positions AS (
        SELECT
            array_agg(stored.position ORDER BY stored.version) AS of_all,
            max(stored.version) AS version
        FROM stored
    ),
    tagged AS (
        INSERT INTO es_event_tags (position, tag, event_type)
        SELECT positions.of_all[tag.ordinal] AS position, tag.name, tag.event_type
        FROM positions
        JOIN unnest(%(tag_ordinals)b::INTEGER[], %(tags)b::TEXT[], %(tag_types)b::TEXT[]) AS tag(
            ordinal, name, event_type
        )
            ON true
        WHERE positions.version IS NOT NULL
    )
SELECT verdict.is_current, verdict.changed, positions.version, positions.of_all AS positions
FROM verdict
JOIN positions ON true;

-- postgresql.append_to_all.append_to_all
WITH
    known AS (
        SELECT
            target.number,
            target.stream_id COLLATE "C" AS stream_id,
            target.count,
            target.lowest,
            target.highest,
            head.version
        FROM unnest(
            %(stream_ids)b::TEXT[],
            %(counts)b::BIGINT[],
            %(lowest)b::BIGINT[],
            %(highest)b::BIGINT[]
        ) WITH ORDINALITY AS target(stream_id, count, lowest, highest, number)
        LEFT JOIN es_streams AS head ON head.stream_id = (target.stream_id COLLATE "C")
    ),
    created AS (
        INSERT INTO es_streams (stream_id, version)
        SELECT known.stream_id, known.count
        FROM known
        WHERE (
            SELECT bool_and(coalesce(known.version, 0) BETWEEN known.lowest AND known.highest) AS is_plausible
            FROM known
        )
            AND known.version IS NULL
        ORDER BY known.number
        RETURNING stream_id
    ),
    locked AS (
        SELECT
            known.number,
            head.stream_id,
            known.count,
            head.version,
            head.version BETWEEN known.lowest AND known.highest AS is_expected
        FROM known
        JOIN es_streams AS head ON head.stream_id = known.stream_id
        WHERE (
            SELECT bool_and(coalesce(known.version, 0) BETWEEN known.lowest AND known.highest) AS is_plausible
            FROM known
        )
            AND (SELECT count(*) AS number FROM created) >= 0
        ORDER BY known.number
        FOR NO KEY UPDATE OF head
    ),
    verdict AS (
        SELECT
            CASE
                WHEN (
                    bool_and(heads.is_expected)
                        AND (SELECT count(*) AS number FROM created) + (
                            SELECT count(*) AS number FROM locked
                        ) = (SELECT count(*) AS number FROM known)
                )
                    THEN true
                WHEN (SELECT count(*) AS number FROM created) = 0 THEN false
                ELSE 1 / (
                    (SELECT count(*) AS number FROM created) - (
                        SELECT count(*) AS number FROM created
                    )
                ) = 1
                END AS is_accepted,
            array_agg(heads.version ORDER BY heads.number) AS versions
        FROM (
            SELECT known.number, CAST(0 AS BIGINT) AS version, true AS is_expected
            FROM known
            WHERE known.version IS NULL
            UNION ALL
            SELECT locked.number, locked.version, locked.is_expected
            FROM locked
        ) AS heads
    ),
    advanced AS (
        UPDATE es_streams AS head
        SET version = locked.version + locked.count, updated_at = statement_timestamp()
        FROM locked, verdict
        WHERE head.stream_id = locked.stream_id AND verdict.is_accepted
        RETURNING head.stream_id
    ),
    stored AS (
        INSERT INTO es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
        SELECT
            event.stream_id,
            verdict.versions[event.number] + event.offset_in_stream AS version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.codec,
            event.data,
            CAST(event.metadata AS JSONB) AS metadata
        FROM unnest(
            %(event_streams)b::TEXT[],
            %(numbers)b::INTEGER[],
            %(offsets)b::BIGINT[],
            %(event_ids)b::UUID[],
            %(event_types)b::TEXT[],
            %(schema_versions)b::INTEGER[],
            %(codecs)b::SMALLINT[],
            %(data)b::BYTEA[],
            %(metadata)b::TEXT[]
        ) WITH ORDINALITY AS event(
            stream_id,
            number,
            offset_in_stream,
            event_id,
            event_type,
            schema_version,
            codec,
            data,
            metadata,
            ordinal
        )
        JOIN verdict ON verdict.is_accepted
        ORDER BY event.ordinal
        RETURNING position
    )
SELECT
    verdict.versions,
    (SELECT array_agg(stored.position ORDER BY stored.position) AS positions FROM stored) AS positions
FROM verdict
WHERE verdict.is_accepted;

-- postgresql.boundaries.compare_boundaries
WITH
    item AS MATERIALIZED (
        SELECT item.tags, item.types, item.pivot, item.position, item.event_id
        FROM jsonb_to_recordset(CAST(%(items)b::TEXT AS JSONB)) AS item(
            tags TEXT[], types TEXT[], pivot TEXT, position BIGINT, event_id UUID
        )
    ),
    compared AS MATERIALIZED (
        SELECT
            CASE
            WHEN current_setting('eventstore.tag_locks', true) <> ''
                THEN current_setting('transaction_isolation') = 'read committed'
            AND NOT EXISTS (
                SELECT 1
                FROM item
                WHERE item.position > 0
                    AND NOT EXISTS (
                        SELECT 1
                        FROM es_events AS event
                        WHERE event.position = item.position AND event.event_id = item.event_id
                        OFFSET 0
                    )
            )
            AND (
                %(generation)b::BIGINT IS NULL
                    OR %(generation)b::BIGINT = coalesce(
                        (
                            SELECT max(tag.position) AS generation
                            FROM es_event_tags AS tag
                            WHERE tag.tag = ''
                        ),
                        0
                    )
            )
                END AS is_current,
        (
            SELECT min(change.position) AS position
            FROM item
            JOIN LATERAL (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (item.pivot COLLATE "C")
                    AND tag.position > item.position
                    AND (item.types IS NULL OR tag.event_type = any(item.types))
                    AND (
                        cardinality(item.tags) = 1
                            OR NOT EXISTS (
                                SELECT 1
                                FROM unnest(item.tags) AS wanted(name)
                                WHERE NOT EXISTS (
                                    SELECT 1
                                    FROM es_event_tags AS other
                                    WHERE other.tag = (wanted.name COLLATE "C")
                                        AND other.position = tag.position
                                    OFFSET 0
                                )
                                OFFSET 0
                            )
                    )
                ORDER BY tag.position
                LIMIT 1
            ) AS change
                ON true
        ) AS changed
    ),
    verdict AS MATERIALIZED (
        SELECT
            compared.is_current,
            compared.changed,
            compared.is_current AND compared.changed IS NULL AS is_accepted
        FROM compared
    )
SELECT verdict.is_current, verdict.changed
FROM verdict;

-- postgresql.boundaries.read_boundary
WITH
    item AS MATERIALIZED (
        SELECT
            item.number,
            item.tags,
            item.types,
            (
                SELECT candidate.name
                FROM unnest(item.tags) AS candidate(name)
                ORDER BY
                    (
                        SELECT count(*) AS number
                        FROM (
                            SELECT 1 AS one
                            FROM es_event_tags AS tag
                            WHERE tag.tag = (candidate.name COLLATE "C") AND cardinality(item.tags) > 1
                            ORDER BY tag.tag, tag.position
                            LIMIT 1000
                        ) AS counted
                    ),
                    candidate.name
                LIMIT 1
            ) AS pivot
        FROM jsonb_to_recordset(CAST(%(items)b::TEXT AS JSONB)) AS item(
            number INTEGER, tags TEXT[], types TEXT[]
        )
    ),
    last AS MATERIALIZED (
        SELECT
            item.number,
            item.pivot,
            newest.position,
            (SELECT event.event_id FROM es_events AS event WHERE event.position = newest.position) AS event_id
        FROM item
        LEFT JOIN LATERAL (
            SELECT tag.position
            FROM es_event_tags AS tag
            WHERE tag.tag = (item.pivot COLLATE "C")
            ORDER BY tag.position DESC
            LIMIT 1
        ) AS newest
            ON true
    ),
    matched AS MATERIALIZED (
        SELECT DISTINCT found.position
        FROM item
        JOIN LATERAL (
            SELECT tag.position
            FROM es_event_tags AS tag
            WHERE tag.tag >= (item.pivot COLLATE "C")
                AND tag.tag <= (item.pivot COLLATE "C")
                AND (item.types IS NULL OR tag.event_type = any(item.types))
                AND (
                    cardinality(item.tags) = 1
                        OR NOT EXISTS (
                            SELECT 1
                            FROM unnest(item.tags) AS wanted(name)
                            WHERE NOT EXISTS (
                                SELECT 1
                                FROM es_event_tags AS other
                                WHERE other.tag = (wanted.name COLLATE "C")
                                    AND other.position = tag.position
                                OFFSET 0
                            )
                            OFFSET 0
                        )
                )
            ORDER BY tag.tag, tag.position
            OFFSET 0
        ) AS found
            ON true
    )
SELECT
    CAST(0 AS BIGINT) AS position,
    (
        SELECT CAST(
            jsonb_agg(
                jsonb_build_array(last.pivot, last.position, last.event_id) ORDER BY last.number
            ) AS TEXT
        ) AS ends
        FROM last
    ) AS stream_id,
    coalesce(
        (SELECT max(tag.position) AS generation FROM es_event_tags AS tag WHERE tag.tag = ''), 0
    ) AS version,
    CAST(NULL AS UUID) AS event_id,
    CAST(NULL AS TEXT) AS event_type,
    (SELECT CAST(count(*) AS INTEGER) AS number FROM matched) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    CAST(NULL AS TIMESTAMPTZ) AS recorded_at
UNION ALL
SELECT found.*
FROM matched
JOIN LATERAL (
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
    WHERE event.position = matched.position
    LIMIT 1
) AS found
    ON true
ORDER BY position;

-- postgresql.boundaries_without_tags.compare_boundaries_without_tags
WITH
    item AS MATERIALIZED (
        SELECT
            item.number,
            item.tags,
            item.types,
            item.categories,
            item.position,
            item.event_id,
            item.seen,
            item.seen_ids
        FROM jsonb_to_recordset(CAST(%(items)b::TEXT AS JSONB)) AS item(
            number INTEGER,
            tags TEXT[],
            types TEXT[],
            categories TEXT[],
            position BIGINT,
            event_id UUID,
            seen BIGINT[],
            seen_ids UUID[]
        )
    ),
    change AS (
        SELECT found.number, found.position
        FROM (
            SELECT item.number, event.position
            FROM item
            JOIN LATERAL (
                SELECT event.position
                FROM es_events AS event
                WHERE event.position > item.position
                    AND item.tags IS NULL
                    AND item.types IS NULL
                    AND item.categories IS NULL
                OFFSET 0
            ) AS event
                ON true
            UNION ALL
            SELECT item.number, event.position
            FROM item
            JOIN unnest(item.types) AS wanted(name) ON item.tags IS NULL
            JOIN LATERAL (
                SELECT event.position
                FROM es_events AS event
                WHERE (event.event_type, event.position) > (wanted.name COLLATE "C", item.position)
                    AND (event.event_type, event.position) <= (
                        wanted.name COLLATE "C", 9223372036854775807
                    )
                    AND (item.categories IS NULL OR event.category = any(item.categories))
                ORDER BY event.event_type, event.position
                OFFSET 0
            ) AS event
                ON true
            UNION ALL
            SELECT item.number, event.position
            FROM item
            JOIN unnest(item.categories) AS wanted(name) ON item.tags IS NULL AND item.types IS NULL
            JOIN LATERAL (
                SELECT event.position
                FROM es_events AS event
                WHERE (event.category, event.position) > (wanted.name COLLATE "C", item.position)
                    AND (event.category, event.position) <= (
                        wanted.name COLLATE "C", 9223372036854775807
                    )
                ORDER BY event.category, event.position
                OFFSET 0
            ) AS event
                ON true
            UNION ALL
            SELECT item.number, tag.position
            FROM item
            JOIN LATERAL (
                SELECT candidate.name
                FROM unnest(item.tags) AS candidate(name)
                ORDER BY (
                    SELECT count(*) AS number
                    FROM (
                        SELECT 1 AS one
                        FROM es_event_tags AS tag
                        WHERE tag.tag = (candidate.name COLLATE "C") AND tag.position > item.position
                        ORDER BY tag.tag, tag.position
                        LIMIT 1000
                    ) AS counted
                )
                LIMIT 1
            ) AS pivot
                ON true
            JOIN LATERAL (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE (tag.tag, tag.position) > (pivot.name COLLATE "C", item.position)
                    AND (tag.tag, tag.position) <= (pivot.name COLLATE "C", 9223372036854775807)
                    AND (item.types IS NULL OR tag.event_type = any(item.types))
                    AND (
                        item.categories IS NULL
                            OR EXISTS (
                                SELECT 1
                                FROM es_events AS event
                                WHERE event.position = tag.position
                                    AND event.category = any(item.categories)
                                OFFSET 0
                            )
                    )
                    AND NOT EXISTS (
                        SELECT 1
                        FROM unnest(item.tags) AS wanted(name)
                        WHERE NOT EXISTS (
                            SELECT 1
                            FROM es_event_tags AS other
                            WHERE other.tag = (wanted.name COLLATE "C") AND other.position = tag.position
                            OFFSET 0
                        )
                        OFFSET 0
                    )
                ORDER BY tag.tag, tag.position
                OFFSET 0
            ) AS tag
                ON true
        ) AS found EXCEPT
        SELECT item.number, seen.position
        FROM item
        JOIN unnest(item.seen) AS seen(position) ON true
    )
SELECT
    CASE
        WHEN current_setting('eventstore.tag_locks', true) <> ''
            THEN current_setting('transaction_isolation') = 'read committed'
        AND NOT EXISTS (
            SELECT 1
            FROM item
            WHERE item.position > 0
                AND NOT EXISTS (
                    SELECT 1
                    FROM es_events AS event
                    WHERE event.position = item.position AND event.event_id = item.event_id
                    OFFSET 0
                )
        )
        AND (
            %(generation)b::BIGINT IS NULL
                OR %(generation)b::BIGINT = coalesce(
                    (
                        SELECT max(tag.position) AS generation
                        FROM es_event_tags AS tag
                        WHERE tag.tag = ''
                    ),
                    0
                )
        )
            END
        AND NOT EXISTS (
            SELECT 1
            FROM item
            JOIN unnest(item.seen, item.seen_ids) AS seen(position, event_id) ON true
            WHERE NOT EXISTS (
                SELECT 1
                FROM es_events AS event
                WHERE event.position = seen.position AND event.event_id = seen.event_id
                OFFSET 0
            )
            OFFSET 0
        ) AS is_current,
    (SELECT min(change.position) AS position FROM change) AS changed;

-- postgresql.boundaries_without_tags.lock_all_appends
LOCK TABLE es_streams IN EXCLUSIVE MODE;

-- postgresql.boundaries_without_tags.read_boundary_without_tags
-- with name_of_es_events = 'es_events'
WITH
    item AS MATERIALIZED (
        SELECT item.number, item.tags, item.types, item.categories, CAST(0 AS BIGINT) AS position
        FROM jsonb_to_recordset(CAST(%(items)b::TEXT AS JSONB)) AS item(
            number INTEGER, tags TEXT[], types TEXT[], categories TEXT[]
        )
    ),
    settled AS MATERIALIZED (
        SELECT coalesce(max(event.position), 0) AS position
        FROM es_events AS event
        WHERE event.position = %(settled)b::BIGINT AND event.event_id = %(settled_id)b::UUID
    ),
    found AS MATERIALIZED (
        SELECT item.number, event.position
        FROM item
        JOIN LATERAL (
            SELECT event.position
            FROM es_events AS event
            WHERE event.position > item.position
                AND item.tags IS NULL
                AND item.types IS NULL
                AND item.categories IS NULL
            OFFSET 0
        ) AS event
            ON true
        UNION ALL
        SELECT item.number, event.position
        FROM item
        JOIN unnest(item.types) AS wanted(name) ON item.tags IS NULL
        JOIN LATERAL (
            SELECT event.position
            FROM es_events AS event
            WHERE (event.event_type, event.position) > (wanted.name COLLATE "C", item.position)
                AND (event.event_type, event.position) <= (
                    wanted.name COLLATE "C", 9223372036854775807
                )
                AND (item.categories IS NULL OR event.category = any(item.categories))
            ORDER BY event.event_type, event.position
            OFFSET 0
        ) AS event
            ON true
        UNION ALL
        SELECT item.number, event.position
        FROM item
        JOIN unnest(item.categories) AS wanted(name) ON item.tags IS NULL AND item.types IS NULL
        JOIN LATERAL (
            SELECT event.position
            FROM es_events AS event
            WHERE (event.category, event.position) > (wanted.name COLLATE "C", item.position)
                AND (event.category, event.position) <= (
                    wanted.name COLLATE "C", 9223372036854775807
                )
            ORDER BY event.category, event.position
            OFFSET 0
        ) AS event
            ON true
        UNION ALL
        SELECT item.number, tag.position
        FROM item
        JOIN LATERAL (
            SELECT candidate.name
            FROM unnest(item.tags) AS candidate(name)
            ORDER BY (
                SELECT count(*) AS number
                FROM (
                    SELECT 1 AS one
                    FROM es_event_tags AS tag
                    WHERE tag.tag = (candidate.name COLLATE "C") AND tag.position > item.position
                    ORDER BY tag.tag, tag.position
                    LIMIT 1000
                ) AS counted
            )
            LIMIT 1
        ) AS pivot
            ON true
        JOIN LATERAL (
            SELECT tag.position
            FROM es_event_tags AS tag
            WHERE (tag.tag, tag.position) > (pivot.name COLLATE "C", item.position)
                AND (tag.tag, tag.position) <= (pivot.name COLLATE "C", 9223372036854775807)
                AND (item.types IS NULL OR tag.event_type = any(item.types))
                AND (
                    item.categories IS NULL
                        OR EXISTS (
                            SELECT 1
                            FROM es_events AS event
                            WHERE event.position = tag.position AND event.category = any(item.categories)
                            OFFSET 0
                        )
                )
                AND NOT EXISTS (
                    SELECT 1
                    FROM unnest(item.tags) AS wanted(name)
                    WHERE NOT EXISTS (
                        SELECT 1
                        FROM es_event_tags AS other
                        WHERE other.tag = (wanted.name COLLATE "C") AND other.position = tag.position
                        OFFSET 0
                    )
                    OFFSET 0
                )
            ORDER BY tag.tag, tag.position
            OFFSET 0
        ) AS tag
            ON true
    ),
    seen AS MATERIALIZED (
        SELECT
            item.number,
            coalesce(
                array_agg(DISTINCT found.position) FILTER (WHERE found.position IS NOT NULL),
                CAST(ARRAY[] AS BIGINT[])
            ) AS positions
        FROM item
        JOIN settled ON true
        LEFT JOIN found ON found.number = item.number AND found.position > settled.position
        GROUP BY item.number
    )
SELECT
    CAST(0 AS BIGINT) AS position,
    (
        SELECT CAST(jsonb_agg(to_jsonb(seen.positions) ORDER BY seen.number) AS TEXT) AS seen
        FROM seen
    ) AS stream_id,
    coalesce(
        (SELECT max(tag.position) AS generation FROM es_event_tags AS tag WHERE tag.tag = ''), 0
    ) AS version,
    (SELECT CASE WHEN settled.position > 0 THEN %(settled_id)b::UUID END AS event_id FROM settled) AS event_id,
    (SELECT CAST(settled.position AS TEXT) AS position FROM settled) AS event_type,
    CAST(server.in_recovery AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(server.es_events AS TEXT) AS metadata,
    server.started_at AS recorded_at
FROM (
    SELECT CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery
) AS server
UNION ALL
SELECT event.*
FROM (SELECT DISTINCT found.position FROM found) AS matched
JOIN LATERAL (
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
    WHERE event.position = matched.position
    LIMIT 1
) AS event
    ON true
ORDER BY position;

-- postgresql.citus.distribution_of_events
-- with name_of_es_events = 'es_events'
SELECT to_regclass('pg_catalog.pg_dist_schema') IS NOT NULL AS has_schemas
FROM pg_catalog.pg_dist_partition
WHERE pg_catalog.pg_dist_partition.logicalrelid = to_regclass(%(name_of_es_events)b::TEXT);

-- postgresql.citus.local_group
SELECT pg_catalog.pg_dist_local_group.groupid FROM pg_catalog.pg_dist_local_group;

-- postgresql.citus.schema_distribution
-- with name_of_es_events = 'es_events'
SELECT EXISTS (
    SELECT *
    FROM pg_catalog.pg_dist_schema
    WHERE pg_catalog.pg_dist_schema.schemaid = (
        SELECT pg_catalog.pg_class.relnamespace
        FROM pg_catalog.pg_class
        WHERE pg_catalog.pg_class.oid = to_regclass(%(name_of_es_events)b::TEXT)
    )
) AS is_distributed;

-- postgresql.citus_log.appends_elsewhere
-- with name_of_es_events = 'es_events'
SELECT CAST(CAST(pg_class.oid AS REGCLASS) AS TEXT) AS es_events
FROM pg_catalog.pg_locks
JOIN pg_catalog.pg_class ON pg_class.oid = pg_locks.relation AND pg_class.relname = 'es_events'
WHERE pg_locks.pid = pg_backend_pid()
    AND pg_locks.locktype = 'relation'
    AND pg_locks.mode = 'RowExclusiveLock'
    AND pg_locks.relation <> to_regclass(%(name_of_es_events)b::TEXT);

-- postgresql.citus_log.appends_on_coordinator
-- with name_of_es_events = 'es_events'
SELECT
    holders.appenders,
    holders.own,
    current_setting('transaction_isolation') AS isolation_level,
    pg_is_in_recovery() AS in_recovery,
    state.persistence,
    state.cache,
    state.drawn
FROM (
    SELECT
        CAST(pg_class.relpersistence AS TEXT) AS persistence,
        pg_sequence.seqcache AS cache,
        CASE
            WHEN (
                has_sequence_privilege(pg_sequence.seqrelid, 'SELECT')
                    AND CAST(pg_class.relpersistence AS TEXT) = 'p'
            )
                THEN coalesce(pg_sequence_last_value(pg_sequence.seqrelid), -1)
            END AS drawn
    FROM pg_catalog.pg_class
    LEFT JOIN pg_catalog.pg_sequence
        ON pg_sequence.seqrelid = (
            SELECT to_regclass(pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position')) AS sequence
        )
    WHERE pg_class.oid = to_regclass(%(name_of_es_events)b::TEXT)
) AS state
JOIN LATERAL (
    SELECT
        array_agg(pg_locks.virtualtransaction) AS appenders,
        bool_or(pg_locks.pid = pg_backend_pid()) AS own
    FROM pg_catalog.pg_locks
    WHERE pg_locks.locktype = 'relation'
        AND pg_locks.database = (
            SELECT pg_database.oid
            FROM pg_catalog.pg_database
            WHERE pg_database.datname = current_database()
        )
        AND pg_locks.relation = to_regclass(%(name_of_es_events)b::TEXT)
        AND pg_locks.mode = 'RowExclusiveLock'
        AND pg_locks.granted
) AS holders
    ON true;

-- postgresql.citus_log.appends_on_worker
-- with name_of_es_events = 'es_events'
SELECT
    (
        SELECT array_agg(held.virtualtransaction) AS appenders
        FROM pg_lock_status() AS held
        WHERE held.locktype = 'relation'
            AND held.database = (
                SELECT own.database
                FROM pg_lock_status() AS own
                WHERE own.pid = pg_backend_pid() AND own.relation = shard.tableoid
                LIMIT 1
            )
            AND held.relation = shard.tableoid
            AND held.mode = 'RowExclusiveLock'
            AND held.granted
    ) AS appenders,
    server.es_events,
    server.started_at,
    server.in_recovery
FROM (
    SELECT CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery
) AS server
JOIN (SELECT any_event.tableoid FROM es_events AS any_event LIMIT 1) AS shard ON true;

-- postgresql.citus_log.end_of_log
-- with name_of_es_events = 'es_events'
SELECT
    newest.position,
    newest.event_id,
    newest.stream_id,
    newest.version,
    known.positions,
    known.ids,
    server.es_events,
    server.started_at,
    server.in_recovery
FROM (
    SELECT CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery
) AS server
JOIN (
    SELECT array_agg(known_event.position) AS positions, array_agg(known_event.event_id) AS ids
    FROM es_events AS known_event
    WHERE known_event.position = any(%(positions)b::BIGINT[])
) AS known
    ON true
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

-- postgresql.citus_log.insert_rows(1)
INSERT INTO es_events (version, event_id, schema_version, codec, stream_id, event_type, data, metadata)
VALUES (
    %(version_0)b::BIGINT,
    %(event_id_0)b::UUID,
    %(schema_version_0)b::INTEGER,
    %(codec_0)b::SMALLINT,
    %(stream_id)b::TEXT,
    %(event_type_0)b::TEXT,
    %(data_0)b,
    CAST(%(metadata_0)b::TEXT AS JSONB)
)
RETURNING es_events.version, es_events.position;

-- postgresql.citus_log.insert_rows(10)
INSERT INTO es_events (version, event_id, schema_version, codec, stream_id, event_type, data, metadata)
VALUES
    (
        %(version_0)b::BIGINT,
        %(event_id_0)b::UUID,
        %(schema_version_0)b::INTEGER,
        %(codec_0)b::SMALLINT,
        %(stream_id)b::TEXT,
        %(event_type_0)b::TEXT,
        %(data_0)b,
        CAST(%(metadata_0)b::TEXT AS JSONB)
    ),
    (
        %(version_1)b::BIGINT,
        %(event_id_1)b::UUID,
        %(schema_version_1)b::INTEGER,
        %(codec_1)b::SMALLINT,
        %(stream_id)b::TEXT,
        %(event_type_1)b::TEXT,
        %(data_1)b,
        CAST(%(metadata_1)b::TEXT AS JSONB)
    ),
    (
        %(version_2)b::BIGINT,
        %(event_id_2)b::UUID,
        %(schema_version_2)b::INTEGER,
        %(codec_2)b::SMALLINT,
        %(stream_id)b::TEXT,
        %(event_type_2)b::TEXT,
        %(data_2)b,
        CAST(%(metadata_2)b::TEXT AS JSONB)
    ),
    (
        %(version_3)b::BIGINT,
        %(event_id_3)b::UUID,
        %(schema_version_3)b::INTEGER,
        %(codec_3)b::SMALLINT,
        %(stream_id)b::TEXT,
        %(event_type_3)b::TEXT,
        %(data_3)b,
        CAST(%(metadata_3)b::TEXT AS JSONB)
    ),
    (
        %(version_4)b::BIGINT,
        %(event_id_4)b::UUID,
        %(schema_version_4)b::INTEGER,
        %(codec_4)b::SMALLINT,
        %(stream_id)b::TEXT,
        %(event_type_4)b::TEXT,
        %(data_4)b,
        CAST(%(metadata_4)b::TEXT AS JSONB)
    ),
    (
        %(version_5)b::BIGINT,
        %(event_id_5)b::UUID,
        %(schema_version_5)b::INTEGER,
        %(codec_5)b::SMALLINT,
        %(stream_id)b::TEXT,
        %(event_type_5)b::TEXT,
        %(data_5)b,
        CAST(%(metadata_5)b::TEXT AS JSONB)
    ),
    (
        %(version_6)b::BIGINT,
        %(event_id_6)b::UUID,
        %(schema_version_6)b::INTEGER,
        %(codec_6)b::SMALLINT,
        %(stream_id)b::TEXT,
        %(event_type_6)b::TEXT,
        %(data_6)b,
        CAST(%(metadata_6)b::TEXT AS JSONB)
    ),
    (
        %(version_7)b::BIGINT,
        %(event_id_7)b::UUID,
        %(schema_version_7)b::INTEGER,
        %(codec_7)b::SMALLINT,
        %(stream_id)b::TEXT,
        %(event_type_7)b::TEXT,
        %(data_7)b,
        CAST(%(metadata_7)b::TEXT AS JSONB)
    ),
    (
        %(version_8)b::BIGINT,
        %(event_id_8)b::UUID,
        %(schema_version_8)b::INTEGER,
        %(codec_8)b::SMALLINT,
        %(stream_id)b::TEXT,
        %(event_type_8)b::TEXT,
        %(data_8)b,
        CAST(%(metadata_8)b::TEXT AS JSONB)
    ),
    (
        %(version_9)b::BIGINT,
        %(event_id_9)b::UUID,
        %(schema_version_9)b::INTEGER,
        %(codec_9)b::SMALLINT,
        %(stream_id)b::TEXT,
        %(event_type_9)b::TEXT,
        %(data_9)b,
        CAST(%(metadata_9)b::TEXT AS JSONB)
    )
RETURNING es_events.version, es_events.position;

-- postgresql.citus_tags.keys_on_worker
-- with name_of_es_event_tags = 'es_event_tags'
SELECT array_agg(~wanted.key) AS keys, array_agg(wanted.is_shared) AS are_shared
FROM (
    SELECT
        hashtextextended(
            tag.name COLLATE "C",
            CAST(CAST(to_regclass(%(name_of_es_event_tags)b::TEXT) AS OID) AS BIGINT)
        ) AS key,
        bool_and(tag.is_shared) AS is_shared
    FROM unnest(%(tags)b::TEXT[], %(are_shared)b::BOOLEAN[]) AS tag(name, is_shared)
    GROUP BY 1
    ORDER BY bool_or(tag.name = '') DESC, 1
) AS wanted;

-- postgresql.citus_tags.lock_on_worker
SELECT (SELECT any_tag.position FROM es_event_tags AS any_tag LIMIT 1) AS position,
(
    SELECT count(
        CASE
            WHEN wanted.is_shared THEN CAST(pg_advisory_xact_lock_shared(wanted.key) AS TEXT)
            ELSE CAST(pg_advisory_xact_lock(wanted.key) AS TEXT)
            END
    ) AS number
    FROM (
        SELECT given.key, given.is_shared
        FROM unnest(%(keys)b::BIGINT[], %(are_shared)b::BOOLEAN[]) WITH ORDINALITY AS given(
            key, is_shared, number
        )
        ORDER BY given.number
    ) AS wanted
) AS locked,
set_config('eventstore.tag_locks', '1', true) AS noted;

-- postgresql.citus_tags.stay_on_worker
INSERT INTO es_event_tags (position, tag, event_type)
SELECT tag.position, tag.tag, tag.event_type
FROM es_event_tags AS tag
WHERE tag.tag = '' AND tag.position = 0;

-- postgresql.copy.copy_events(('stream_id', 'version', 'event_id', 'event_type', 'schema_version', 'codec', 'data', 'metadata'))
COPY es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
FROM STDIN (FORMAT BINARY);

-- postgresql.copy.copy_events(('stream_id', 'version', 'event_id', 'event_type', 'schema_version', 'codec', 'data', 'metadata', 'recorded_at'))
COPY es_events (
    stream_id, version, event_id, event_type, schema_version, codec, data, metadata, recorded_at
)
FROM STDIN (FORMAT BINARY);

-- postgresql.copy.copy_events(('stream_id', 'version', 'event_id', 'event_type', 'schema_version', 'codec', 'data', 'metadata', 'recorded_at', 'position'))
COPY es_events (
    stream_id,
    version,
    event_id,
    event_type,
    schema_version,
    codec,
    data,
    metadata,
    recorded_at,
    position
)
FROM STDIN (FORMAT BINARY);

-- postgresql.copy.row_security
-- with name_of_es_events = 'es_events'
SELECT row_security_active(to_regclass(%(name_of_es_events)b::TEXT)) AS is_in_force;

-- postgresql.diagnosis.prepared_transactions
SELECT
    CAST(pg_catalog.pg_prepared_xacts.gid AS TEXT) AS gid,
    CAST(pg_catalog.pg_prepared_xacts.owner AS TEXT) AS owner,
    CAST(
        date_part('epoch', statement_timestamp() - pg_catalog.pg_prepared_xacts.prepared) AS BIGINT
    ) AS seconds
FROM pg_catalog.pg_prepared_xacts
WHERE pg_catalog.pg_prepared_xacts.database = current_database()
ORDER BY pg_catalog.pg_prepared_xacts.prepared;

-- postgresql.diagnosis.server_process
SELECT pg_is_in_recovery() AS in_recovery,
(
    SELECT count(*) AS number
    FROM pg_catalog.pg_stat_activity
    WHERE coalesce(
        pg_catalog.pg_stat_activity.backend_type = 'client backend',
        pg_catalog.pg_stat_activity.usesysid IS NOT NULL
    )
) AS clients;

-- postgresql.diagnosis.server_settings
SELECT
    CAST(pg_catalog.pg_settings.name AS TEXT) AS name,
    CAST(pg_catalog.pg_settings.setting AS TEXT) AS setting
FROM pg_catalog.pg_settings
WHERE pg_catalog.pg_settings.name = any(%(names)b::TEXT[]);

-- postgresql.diagnosis.table_upkeep
-- with name_of_es_checkpoints = 'es_checkpoints', name_of_es_detached_parts = 'es_detached_parts',
--   name_of_es_event_tags = 'es_event_tags', name_of_es_schema = 'es_schema', name_of_es_streams = 'es_streams',
--   name_of_es_dead_letters = 'es_dead_letters', name_of_es_events = 'es_events', name_of_snapshots = 'snapshots'
SELECT
    CAST(pg_catalog.pg_class.relname AS TEXT) AS relname,
    array_to_string(pg_catalog.pg_class.reloptions, ',') AS settings,
    pg_stat_get_live_tuples(pg_catalog.pg_class.oid) AS live_rows,
    pg_stat_get_dead_tuples(pg_catalog.pg_class.oid) AS dead_rows
FROM pg_catalog.pg_class
WHERE pg_catalog.pg_class.oid IN (
    to_regclass(%(name_of_es_checkpoints)b::TEXT),
    to_regclass(%(name_of_es_detached_parts)b::TEXT),
    to_regclass(%(name_of_es_event_tags)b::TEXT),
    to_regclass(%(name_of_es_schema)b::TEXT),
    to_regclass(%(name_of_es_streams)b::TEXT),
    to_regclass(%(name_of_es_dead_letters)b::TEXT),
    to_regclass(%(name_of_es_events)b::TEXT),
    to_regclass(%(name_of_snapshots)b::TEXT)
)
ORDER BY pg_catalog.pg_class.relname;

-- postgresql.diagnosis.unfinished_appends
-- with name_of_es_events = 'es_events'
SELECT
    pg_catalog.pg_stat_activity.pid,
    CAST(pg_catalog.pg_stat_activity.usename AS TEXT) AS usename,
    CAST(pg_catalog.pg_stat_activity.application_name AS TEXT) AS application_name,
    CAST(pg_catalog.pg_stat_activity.state AS TEXT) AS state,
    CAST(
        date_part('epoch', statement_timestamp() - pg_catalog.pg_stat_activity.xact_start) AS BIGINT
    ) AS seconds
FROM pg_catalog.pg_stat_activity
JOIN pg_catalog.pg_locks ON pg_catalog.pg_locks.pid = pg_catalog.pg_stat_activity.pid
WHERE pg_catalog.pg_locks.locktype = 'relation'
    AND pg_catalog.pg_locks.database = (
        SELECT pg_catalog.pg_database.oid
        FROM pg_catalog.pg_database
        WHERE pg_catalog.pg_database.datname = current_database()
    )
    AND pg_catalog.pg_locks.relation = to_regclass(%(name_of_es_events)b::TEXT)
    AND pg_catalog.pg_locks.mode = 'RowExclusiveLock'
    AND pg_catalog.pg_locks.granted
    AND pg_catalog.pg_stat_activity.pid != pg_backend_pid()
ORDER BY pg_catalog.pg_stat_activity.xact_start;

-- postgresql.figures.count_matching(((),), in_period=False)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_0)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
    ) AS matches
) AS figures;

-- postgresql.figures.count_matching(((),), in_period=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_0)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.recorded_at >= %(recorded_since)b::TIMESTAMP WITH TIME ZONE
            AND candidate.recorded_at < %(recorded_before)b::TIMESTAMP WITH TIME ZONE
    ) AS matches
) AS figures;

-- postgresql.figures.count_matching((('tags',),), in_period=False)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_0)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = any(%(tags_0)b::TEXT[])
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                GROUP BY tag.position
                HAVING count(*) = cardinality(%(tags_0)b::TEXT[])
            )
    ) AS matches
) AS figures;

-- postgresql.figures.count_matching((('tags',),), in_period=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_0)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.recorded_at >= %(recorded_since)b::TIMESTAMP WITH TIME ZONE
            AND candidate.recorded_at < %(recorded_before)b::TIMESTAMP WITH TIME ZONE
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = any(%(tags_0)b::TEXT[])
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                GROUP BY tag.position
                HAVING count(*) = cardinality(%(tags_0)b::TEXT[])
            )
    ) AS matches
) AS figures;

-- postgresql.figures.count_matching((('tags', 'event_types'),), in_period=False)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_0)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.event_type = any(%(event_types_0)b::TEXT[])
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = any(%(tags_0)b::TEXT[])
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                GROUP BY tag.position
                HAVING count(*) = cardinality(%(tags_0)b::TEXT[])
            )
    ) AS matches
) AS figures;

-- postgresql.figures.count_matching((('tags', 'event_types'),), in_period=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_0)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.event_type = any(%(event_types_0)b::TEXT[])
            AND candidate.recorded_at >= %(recorded_since)b::TIMESTAMP WITH TIME ZONE
            AND candidate.recorded_at < %(recorded_before)b::TIMESTAMP WITH TIME ZONE
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = any(%(tags_0)b::TEXT[])
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                GROUP BY tag.position
                HAVING count(*) = cardinality(%(tags_0)b::TEXT[])
            )
    ) AS matches
) AS figures;

-- postgresql.figures.count_matching((('tags', 'stream_ids', 'categories'),), in_period=False)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_0)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.stream_id = any(%(stream_ids_0)b::TEXT[])
            AND candidate.category = any(%(categories_0)b::TEXT[])
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = any(%(tags_0)b::TEXT[])
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                GROUP BY tag.position
                HAVING count(*) = cardinality(%(tags_0)b::TEXT[])
            )
    ) AS matches
) AS figures;

-- postgresql.figures.count_matching((('tags', 'stream_ids', 'categories'),), in_period=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_0)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.stream_id = any(%(stream_ids_0)b::TEXT[])
            AND candidate.category = any(%(categories_0)b::TEXT[])
            AND candidate.recorded_at >= %(recorded_since)b::TIMESTAMP WITH TIME ZONE
            AND candidate.recorded_at < %(recorded_before)b::TIMESTAMP WITH TIME ZONE
            AND candidate.position IN (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = any(%(tags_0)b::TEXT[])
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                GROUP BY tag.position
                HAVING count(*) = cardinality(%(tags_0)b::TEXT[])
            )
    ) AS matches
) AS figures;

-- postgresql.figures.count_matching((('categories', 'event_types'), ('stream_ids',), ()), in_period=False)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_0)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.category = any(%(categories_0)b::TEXT[])
            AND candidate.event_type = any(%(event_types_0)b::TEXT[])
        UNION
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_1)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.stream_id = any(%(stream_ids_1)b::TEXT[])
        UNION
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_2)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
    ) AS matches
) AS figures;

-- postgresql.figures.count_matching((('categories', 'event_types'), ('stream_ids',), ()), in_period=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT count(*) AS number
    FROM (
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_0)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.category = any(%(categories_0)b::TEXT[])
            AND candidate.event_type = any(%(event_types_0)b::TEXT[])
            AND candidate.recorded_at >= %(recorded_since)b::TIMESTAMP WITH TIME ZONE
            AND candidate.recorded_at < %(recorded_before)b::TIMESTAMP WITH TIME ZONE
        UNION
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_1)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.stream_id = any(%(stream_ids_1)b::TEXT[])
            AND candidate.recorded_at >= %(recorded_since)b::TIMESTAMP WITH TIME ZONE
            AND candidate.recorded_at < %(recorded_before)b::TIMESTAMP WITH TIME ZONE
        UNION
        SELECT candidate.position
        FROM es_events AS candidate
        WHERE candidate.position > %(after_position_2)b::BIGINT
            AND candidate.position <= %(up_to_position)b::BIGINT
            AND candidate.recorded_at >= %(recorded_since)b::TIMESTAMP WITH TIME ZONE
            AND candidate.recorded_at < %(recorded_before)b::TIMESTAMP WITH TIME ZONE
    ) AS matches
) AS figures;

-- postgresql.figures.extent_of_period
-- with name_of_es_events = 'es_events'
SELECT
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS settled_id,
    CAST(NULL AS TEXT) AS detached,
    figures.*
FROM (
    SELECT min(candidate.position + 0) AS first, max(candidate.position + 0) AS last
    FROM es_events AS candidate
    WHERE candidate.recorded_at >= %(recorded_since)b::TIMESTAMP WITH TIME ZONE
        AND candidate.recorded_at < %(recorded_before)b::TIMESTAMP WITH TIME ZONE
        AND candidate.position + 0 > %(after_position)b::BIGINT
        AND candidate.position + 0 <= %(up_to_position)b::BIGINT
) AS figures;

-- postgresql.history.find_setting_of_history_changes
-- with setting = 'eventstore.allow_history_changes'
SELECT current_setting(%(setting)b::TEXT, true) AS value;

-- postgresql.history.set_history_changes
-- with setting = 'eventstore.allow_history_changes'
SELECT set_config(%(setting)b::TEXT, %(value)b::TEXT, true) AS value;

-- postgresql.lock_table.lock_derived_rows
LOCK TABLE snapshots, es_dead_letters IN SHARE ROW EXCLUSIVE MODE;

-- postgresql.lock_table.lock_events
LOCK TABLE es_events IN SHARE ROW EXCLUSIVE MODE;

-- postgresql.log_view.last_without_gap
-- with name_of_es_events = 'es_events'
SELECT
    last.position,
    last.event_id,
    last.stream_id,
    last.version,
    (
        SELECT event_before.event_id
        FROM es_events AS event_before
        WHERE event_before.position = %(after_position)b::BIGINT
    ) AS id_before,
    server.es_events,
    server.started_at,
    server.in_recovery
FROM (
    SELECT CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery
) AS server
LEFT JOIN (
    SELECT last_event.position, last_event.event_id, last_event.stream_id, last_event.version
    FROM es_events AS last_event
    WHERE last_event.position = (
        SELECT max(following.position) AS position
        FROM (
            SELECT event.position, row_number() OVER (ORDER BY event.position) AS number
            FROM es_events AS event
            WHERE event.position > %(after_position)b::BIGINT
            ORDER BY event.position
            LIMIT %(size)b::BIGINT
        ) AS following
        WHERE following.position = %(after_position)b::BIGINT + following.number
    )
) AS last
    ON true;

-- postgresql.log_view.log_view
-- with name_of_es_events = 'es_events'
SELECT
    newest.position,
    newest.event_id,
    newest.stream_id,
    newest.version,
    known.positions,
    known.ids,
    (
        coalesce(newest.position, 0) > %(settled)b::BIGINT
            OR %(settled)b::BIGINT > 0
            AND NOT coalesce(%(settled_id)b::UUID = any(known.ids), false)
    ) AS has_read_locks,
    holders.appenders,
    holders.own,
    current_setting('transaction_isolation') AS isolation_level,
    server.es_events,
    server.started_at,
    server.in_recovery,
    state.persistence,
    state.cache,
    state.drawn,
    CASE
        WHEN server.in_recovery
            THEN CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)
        END AS oldest,
    CASE
        WHEN server.in_recovery
            THEN CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) + age(
                xid(pg_snapshot_xmin(pg_current_snapshot()))
            )
        END AS next_id
FROM (
    SELECT CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery
) AS server
JOIN (
    SELECT
        CAST(pg_class.relpersistence AS TEXT) AS persistence,
        pg_sequence.seqcache AS cache,
        CASE
            WHEN (
                has_sequence_privilege(pg_sequence.seqrelid, 'SELECT')
                    AND CAST(pg_class.relpersistence AS TEXT) = 'p'
            )
                THEN coalesce(pg_sequence_last_value(pg_sequence.seqrelid), -1)
            END AS drawn
    FROM pg_catalog.pg_class
    LEFT JOIN pg_catalog.pg_sequence
        ON pg_sequence.seqrelid = (
            SELECT to_regclass(pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position')) AS sequence
        )
    WHERE pg_class.oid = to_regclass(%(name_of_es_events)b::TEXT)
) AS state
    ON true
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
    ON true
JOIN (
    SELECT array_agg(known_event.position) AS positions, array_agg(known_event.event_id) AS ids
    FROM es_events AS known_event
    WHERE known_event.position = any(%(positions)b::BIGINT[])
) AS known
    ON true
JOIN LATERAL (
    SELECT
        array_agg(pg_locks.virtualtransaction) AS appenders,
        bool_or(pg_locks.pid = pg_backend_pid()) AS own
    FROM pg_catalog.pg_locks
    WHERE (
        coalesce(newest.position, 0) > %(settled)b::BIGINT
            OR %(settled)b::BIGINT > 0
            AND NOT coalesce(%(settled_id)b::UUID = any(known.ids), false)
    )
        AND pg_locks.locktype = 'relation'
        AND pg_locks.database = (
            SELECT pg_database.oid
            FROM pg_catalog.pg_database
            WHERE pg_database.datname = current_database()
        )
        AND pg_locks.relation = to_regclass(%(name_of_es_events)b::TEXT)
        AND pg_locks.mode = 'RowExclusiveLock'
        AND pg_locks.granted
) AS holders
    ON true;

-- postgresql.notifications.notification_channel
-- with name_of_es_events = 'es_events'
SELECT concat('eventstore_', CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS TEXT)) AS channel;

-- postgresql.notifications.notify
-- with name_of_es_events = 'es_events'
SELECT pg_notify(
    concat('eventstore_', CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS TEXT)), ''
) AS notification;

-- postgresql.partitions.appends_of_a_week
WITH RECURSIVE
    newest AS (
        SELECT event.position, statement_timestamp() - INTERVAL '7 days' AS since
        FROM es_events AS event
        ORDER BY event.position DESC
        LIMIT 1
    ),
    search(low, high) AS (
        SELECT CAST(0 AS BIGINT) AS low, newest.position AS high
        FROM newest
        UNION ALL
        SELECT
            CASE
                WHEN probe.recorded_at < newest.since THEN probe.position
                ELSE search.low
                END AS low,
            CASE
                WHEN probe.recorded_at < newest.since THEN search.high
                ELSE (search.low + search.high) / 2
                END AS high
        FROM search
        JOIN newest ON true
        JOIN LATERAL (
            SELECT event.position, event.recorded_at
            FROM es_events AS event
            WHERE event.position > (search.low + search.high) / 2
            ORDER BY event.position
            LIMIT 1
        ) AS probe
            ON true
        WHERE search.low < search.high
    )
SELECT
    newest.position AS newest,
    found.low AS before,
    first_event.recorded_at AS began_at,
    statement_timestamp() AS now
FROM newest
JOIN LATERAL (SELECT max(search.low) AS low FROM search) AS found ON true
LEFT JOIN LATERAL (
    SELECT event.recorded_at
    FROM es_events AS event
    WHERE event.position > found.low
    ORDER BY event.position
    LIMIT 1
) AS first_event
    ON true;

-- postgresql.partitions.detached_parts_of_log
-- with schema_of_es_events = ''
SELECT
    part.name,
    part.first_position,
    part.last_position,
    part.events,
    part.location,
    part.sha256,
    pg_total_relation_size(to_regclass(%(schema_of_es_events)b::TEXT || quote_ident(part.name))) AS size_bytes
FROM es_detached_parts AS part;

-- postgresql.partitions.drawn_position
-- with name_of_es_events = 'es_events'
SELECT CASE
    WHEN has_sequence_privilege(found.sequence, 'SELECT')
        THEN coalesce(pg_sequence_last_value(found.sequence), 0)
    END AS drawn
FROM (SELECT to_regclass(pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position')) AS sequence) AS found;

-- postgresql.partitions.parts_of_log
-- with name_of_es_events = 'es_events'
SELECT
    pg_get_partkeydef(log.oid) AS key,
    CAST(part.relname AS TEXT) AS name,
    pg_get_expr(part.relpartbound, part.oid) AS bound,
    CAST(part.reltuples AS BIGINT) AS events,
    pg_total_relation_size(part.oid) AS size_bytes,
    pg_inherits.inhdetachpending AS is_detaching
FROM pg_catalog.pg_class AS log
LEFT JOIN pg_catalog.pg_inherits ON pg_inherits.inhparent = log.oid
LEFT JOIN pg_catalog.pg_class AS part ON part.oid = pg_inherits.inhrelid
WHERE log.oid = to_regclass(%(name_of_es_events)b::TEXT) AND log.relkind = 'p';

-- postgresql.positions.continue_positions
-- with name_of_es_events = 'es_events'
SELECT setval(
    CAST(pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position') AS REGCLASS),
    %(newest)b::BIGINT
) AS position
WHERE %(newest)b::BIGINT > coalesce(
    pg_sequence_last_value(
        CAST(pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position') AS REGCLASS)
    ),
    0
);

-- postgresql.positions.drawing
-- with name_of_es_events = 'es_events'
SELECT
    (SELECT coalesce(max(event.position), 0) AS newest FROM es_events AS event) AS newest,
    state.persistence,
    state.cache,
    state.drawn
FROM (
    SELECT
        CAST(pg_class.relpersistence AS TEXT) AS persistence,
        pg_sequence.seqcache AS cache,
        CASE
            WHEN (
                has_sequence_privilege(pg_sequence.seqrelid, 'SELECT')
                    AND CAST(pg_class.relpersistence AS TEXT) = 'p'
            )
                THEN coalesce(pg_sequence_last_value(pg_sequence.seqrelid), -1)
            END AS drawn
    FROM pg_catalog.pg_class
    LEFT JOIN pg_catalog.pg_sequence
        ON pg_sequence.seqrelid = (
            SELECT to_regclass(pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position')) AS sequence
        )
    WHERE pg_class.oid = to_regclass(%(name_of_es_events)b::TEXT)
) AS state;

-- postgresql.positions.drawing_state
-- with name_of_es_events = 'es_events'
SELECT
    CAST(pg_class.relpersistence AS TEXT) AS persistence,
    pg_sequence.seqcache AS cache,
    CASE
        WHEN (
            has_sequence_privilege(pg_sequence.seqrelid, 'SELECT')
                AND CAST(pg_class.relpersistence AS TEXT) = 'p'
        )
            THEN coalesce(pg_sequence_last_value(pg_sequence.seqrelid), -1)
        END AS drawn
FROM pg_catalog.pg_class
LEFT JOIN pg_catalog.pg_sequence
    ON pg_sequence.seqrelid = (
        SELECT to_regclass(pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position')) AS sequence
    )
WHERE pg_class.oid = to_regclass(%(name_of_es_events)b::TEXT);

-- postgresql.positions.drawn_positions('public', 'es_events_position_seq')
SELECT
    (SELECT coalesce(max(es_events.position), 0) AS position FROM es_events) AS newest,
    public.es_events_position_seq.last_value,
    public.es_events_position_seq.is_called
FROM public.es_events_position_seq;

-- postgresql.positions.position_sequence
-- with name_of_es_events = 'es_events'
SELECT pg_catalog.pg_namespace.nspname, pg_catalog.pg_class.relname
FROM pg_catalog.pg_class
JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.oid = to_regclass(
    pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position')
);

-- postgresql.positions.set_last_position
-- with name_of_es_events = 'es_events'
SELECT setval(
    to_regclass(pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position')),
    %(position)b::BIGINT
) AS position;

-- postgresql.read_page.read_everything
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
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
    WHERE event.position > %(after_position)b::BIGINT AND event.position <= %(up_to_position)b::BIGINT
    ORDER BY event.position
    LIMIT %(page_size)b::BIGINT
) AS page
ORDER BY position;

-- postgresql.read_page.read_everything_backwards
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
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
    WHERE event.position > %(after_position)b::BIGINT AND event.position <= %(up_to_position)b::BIGINT
    ORDER BY event.position DESC
    LIMIT %(page_size)b::BIGINT
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching(((),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > %(after_position_0)b::BIGINT
                    AND candidate.position <= %(up_to_position)b::BIGINT
                ORDER BY candidate.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('stream_ids',),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(stream_ids_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_0.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_0.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_0.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_0.value, 9223372036854775807
                    )
                    AND candidate.position + 0 <= %(up_to_position)b::BIGINT
                ORDER BY candidate.stream_id, candidate.version
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('event_types',),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(event_types_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.event_type, candidate.position) > (
                    filter_0.value, %(after_position_0)b::BIGINT
                )
                    AND (candidate.event_type, candidate.position) <= (
                        filter_0.value, %(up_to_position)b::BIGINT
                    )
                ORDER BY candidate.event_type, candidate.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('categories',),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(categories_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.category, candidate.position) > (
                    filter_0.value, %(after_position_0)b::BIGINT
                )
                    AND (candidate.category, candidate.position) <= (
                        filter_0.value, %(up_to_position)b::BIGINT
                    )
                ORDER BY candidate.category, candidate.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('stream_ids', 'event_types'),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(stream_ids_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_0.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_0.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_0.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_0.value, 9223372036854775807
                    )
                    AND (candidate.event_type || '') = any(%(event_types_0)b::TEXT[])
                    AND candidate.position + 0 <= %(up_to_position)b::BIGINT
                ORDER BY candidate.stream_id, candidate.version
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('stream_ids', 'categories'),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(stream_ids_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_0.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_0.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_0.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_0.value, 9223372036854775807
                    )
                    AND (candidate.category || '') = any(%(categories_0)b::TEXT[])
                    AND candidate.position + 0 <= %(up_to_position)b::BIGINT
                ORDER BY candidate.stream_id, candidate.version
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('event_types', 'categories'),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(event_types_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.event_type, candidate.position) > (
                    filter_0.value, %(after_position_0)b::BIGINT
                )
                    AND (candidate.event_type, candidate.position) <= (
                        filter_0.value, %(up_to_position)b::BIGINT
                    )
                    AND (candidate.category || '') = any(%(categories_0)b::TEXT[])
                ORDER BY candidate.event_type, candidate.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('stream_ids', 'event_types', 'categories'),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(stream_ids_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_0.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_0.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_0.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_0.value, 9223372036854775807
                    )
                    AND (candidate.event_type || '') = any(%(event_types_0)b::TEXT[])
                    AND (candidate.category || '') = any(%(categories_0)b::TEXT[])
                    AND candidate.position + 0 <= %(up_to_position)b::BIGINT
                ORDER BY candidate.stream_id, candidate.version
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('categories', 'event_types'), ('stream_ids',), ()))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(event_types_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.event_type, candidate.position) > (
                    filter_0.value, %(after_position_0)b::BIGINT
                )
                    AND (candidate.event_type, candidate.position) <= (
                        filter_0.value, %(up_to_position)b::BIGINT
                    )
                    AND (candidate.category || '') = any(%(categories_0)b::TEXT[])
                ORDER BY candidate.event_type, candidate.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
            UNION
            SELECT match_1.position
            FROM unnest(%(stream_ids_1)b::TEXT[]) AS filter_1(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_1.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_1.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_1)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_1)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_1.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_1.value, 9223372036854775807
                    )
                    AND candidate.position + 0 <= %(up_to_position)b::BIGINT
                ORDER BY candidate.stream_id, candidate.version
                LIMIT %(page_size)b::BIGINT
            ) AS match_1
                ON true
            UNION
            SELECT match_2.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > %(after_position_2)b::BIGINT
                    AND candidate.position <= %(up_to_position)b::BIGINT
                ORDER BY candidate.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_2
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('tags',),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    (
                        SELECT wanted.name
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        ORDER BY (
                            SELECT count(*) AS number
                            FROM (
                                SELECT 1 AS one
                                FROM es_event_tags AS tag
                                WHERE tag.tag = (wanted.name COLLATE "C")
                                    AND tag.position > %(after_position_0)b::BIGINT
                                    AND tag.position <= %(up_to_position)b::BIGINT
                                    AND cardinality(%(tags_0)b::TEXT[]) > 1
                                ORDER BY tag.tag, tag.position
                                LIMIT 1000
                            ) AS counted
                        )
                        LIMIT 1
                    ) COLLATE "C"
                )
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                    AND NOT EXISTS (
                        SELECT 1
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        WHERE cardinality(%(tags_0)b::TEXT[]) > 1
                            AND NOT EXISTS (
                                SELECT 1
                                FROM es_event_tags AS other
                                WHERE other.tag = (wanted.name COLLATE "C")
                                    AND other.position = tag.position
                                OFFSET 0
                            )
                        OFFSET 0
                    )
                ORDER BY tag.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('tags', 'event_types'),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    (
                        SELECT wanted.name
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        ORDER BY (
                            SELECT count(*) AS number
                            FROM (
                                SELECT 1 AS one
                                FROM es_event_tags AS tag
                                WHERE tag.tag = (wanted.name COLLATE "C")
                                    AND tag.position > %(after_position_0)b::BIGINT
                                    AND tag.position <= %(up_to_position)b::BIGINT
                                    AND cardinality(%(tags_0)b::TEXT[]) > 1
                                ORDER BY tag.tag, tag.position
                                LIMIT 1000
                            ) AS counted
                        )
                        LIMIT 1
                    ) COLLATE "C"
                )
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                    AND tag.event_type = any(%(event_types_0)b::TEXT[])
                    AND NOT EXISTS (
                        SELECT 1
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        WHERE cardinality(%(tags_0)b::TEXT[]) > 1
                            AND NOT EXISTS (
                                SELECT 1
                                FROM es_event_tags AS other
                                WHERE other.tag = (wanted.name COLLATE "C")
                                    AND other.position = tag.position
                                OFFSET 0
                            )
                        OFFSET 0
                    )
                ORDER BY tag.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('tags', 'stream_ids', 'categories'),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    (
                        SELECT wanted.name
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        ORDER BY (
                            SELECT count(*) AS number
                            FROM (
                                SELECT 1 AS one
                                FROM es_event_tags AS tag
                                WHERE tag.tag = (wanted.name COLLATE "C")
                                    AND tag.position > %(after_position_0)b::BIGINT
                                    AND tag.position <= %(up_to_position)b::BIGINT
                                    AND cardinality(%(tags_0)b::TEXT[]) > 1
                                ORDER BY tag.tag, tag.position
                                LIMIT 1000
                            ) AS counted
                        )
                        LIMIT 1
                    ) COLLATE "C"
                )
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                    AND EXISTS (
                        SELECT 1
                        FROM es_events AS candidate
                        WHERE candidate.position = tag.position
                            AND candidate.stream_id = any(%(stream_ids_0)b::TEXT[])
                            AND candidate.category = any(%(categories_0)b::TEXT[])
                        OFFSET 0
                    )
                    AND NOT EXISTS (
                        SELECT 1
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        WHERE cardinality(%(tags_0)b::TEXT[]) > 1
                            AND NOT EXISTS (
                                SELECT 1
                                FROM es_event_tags AS other
                                WHERE other.tag = (wanted.name COLLATE "C")
                                    AND other.position = tag.position
                                OFFSET 0
                            )
                        OFFSET 0
                    )
                ORDER BY tag.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching(((),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > %(after_position_0)b::BIGINT
                    AND candidate.position <= %(up_to_position)b::BIGINT
                ORDER BY candidate.position DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('stream_ids',),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(stream_ids_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_0.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_0.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_0.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_0.value,
                        (
                            WITH RECURSIVE search(low, high) AS (
                                SELECT
                                    CAST(0 AS BIGINT) AS low,
                                    (
                                        SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                        FROM es_events AS newest
                                        WHERE newest.stream_id = filter_0.value
                                    ) AS high
                                UNION ALL
                                SELECT
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN probe.version
                                        ELSE search.low
                                        END AS low,
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN search.high
                                        ELSE (search.low + search.high + 1) / 2 - 1
                                        END AS high
                                FROM search
                                JOIN LATERAL (
                                    SELECT event.version, event.position
                                    FROM es_events AS event
                                    WHERE (event.stream_id, event.version) >= (
                                        filter_0.value, (search.low + search.high + 1) / 2
                                    )
                                    ORDER BY event.stream_id, event.version
                                    LIMIT 1
                                ) AS probe
                                    ON true
                                WHERE search.low < search.high
                            )
                            SELECT search.low
                            FROM search
                            WHERE search.low = search.high
                        )
                    )
                ORDER BY candidate.stream_id DESC, candidate.version DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('event_types',),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(event_types_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.event_type, candidate.position) > (
                    filter_0.value, %(after_position_0)b::BIGINT
                )
                    AND (candidate.event_type, candidate.position) <= (
                        filter_0.value, %(up_to_position)b::BIGINT
                    )
                ORDER BY candidate.event_type DESC, candidate.position DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('categories',),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(categories_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.category, candidate.position) > (
                    filter_0.value, %(after_position_0)b::BIGINT
                )
                    AND (candidate.category, candidate.position) <= (
                        filter_0.value, %(up_to_position)b::BIGINT
                    )
                ORDER BY candidate.category DESC, candidate.position DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('stream_ids', 'event_types'),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(stream_ids_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_0.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_0.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_0.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_0.value,
                        (
                            WITH RECURSIVE search(low, high) AS (
                                SELECT
                                    CAST(0 AS BIGINT) AS low,
                                    (
                                        SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                        FROM es_events AS newest
                                        WHERE newest.stream_id = filter_0.value
                                    ) AS high
                                UNION ALL
                                SELECT
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN probe.version
                                        ELSE search.low
                                        END AS low,
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN search.high
                                        ELSE (search.low + search.high + 1) / 2 - 1
                                        END AS high
                                FROM search
                                JOIN LATERAL (
                                    SELECT event.version, event.position
                                    FROM es_events AS event
                                    WHERE (event.stream_id, event.version) >= (
                                        filter_0.value, (search.low + search.high + 1) / 2
                                    )
                                    ORDER BY event.stream_id, event.version
                                    LIMIT 1
                                ) AS probe
                                    ON true
                                WHERE search.low < search.high
                            )
                            SELECT search.low
                            FROM search
                            WHERE search.low = search.high
                        )
                    )
                    AND (candidate.event_type || '') = any(%(event_types_0)b::TEXT[])
                ORDER BY candidate.stream_id DESC, candidate.version DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('stream_ids', 'categories'),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(stream_ids_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_0.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_0.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_0.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_0.value,
                        (
                            WITH RECURSIVE search(low, high) AS (
                                SELECT
                                    CAST(0 AS BIGINT) AS low,
                                    (
                                        SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                        FROM es_events AS newest
                                        WHERE newest.stream_id = filter_0.value
                                    ) AS high
                                UNION ALL
                                SELECT
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN probe.version
                                        ELSE search.low
                                        END AS low,
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN search.high
                                        ELSE (search.low + search.high + 1) / 2 - 1
                                        END AS high
                                FROM search
                                JOIN LATERAL (
                                    SELECT event.version, event.position
                                    FROM es_events AS event
                                    WHERE (event.stream_id, event.version) >= (
                                        filter_0.value, (search.low + search.high + 1) / 2
                                    )
                                    ORDER BY event.stream_id, event.version
                                    LIMIT 1
                                ) AS probe
                                    ON true
                                WHERE search.low < search.high
                            )
                            SELECT search.low
                            FROM search
                            WHERE search.low = search.high
                        )
                    )
                    AND (candidate.category || '') = any(%(categories_0)b::TEXT[])
                ORDER BY candidate.stream_id DESC, candidate.version DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('event_types', 'categories'),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(event_types_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.event_type, candidate.position) > (
                    filter_0.value, %(after_position_0)b::BIGINT
                )
                    AND (candidate.event_type, candidate.position) <= (
                        filter_0.value, %(up_to_position)b::BIGINT
                    )
                    AND (candidate.category || '') = any(%(categories_0)b::TEXT[])
                ORDER BY candidate.event_type DESC, candidate.position DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('stream_ids', 'event_types', 'categories'),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(stream_ids_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_0.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_0.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_0.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_0.value,
                        (
                            WITH RECURSIVE search(low, high) AS (
                                SELECT
                                    CAST(0 AS BIGINT) AS low,
                                    (
                                        SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                        FROM es_events AS newest
                                        WHERE newest.stream_id = filter_0.value
                                    ) AS high
                                UNION ALL
                                SELECT
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN probe.version
                                        ELSE search.low
                                        END AS low,
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN search.high
                                        ELSE (search.low + search.high + 1) / 2 - 1
                                        END AS high
                                FROM search
                                JOIN LATERAL (
                                    SELECT event.version, event.position
                                    FROM es_events AS event
                                    WHERE (event.stream_id, event.version) >= (
                                        filter_0.value, (search.low + search.high + 1) / 2
                                    )
                                    ORDER BY event.stream_id, event.version
                                    LIMIT 1
                                ) AS probe
                                    ON true
                                WHERE search.low < search.high
                            )
                            SELECT search.low
                            FROM search
                            WHERE search.low = search.high
                        )
                    )
                    AND (candidate.event_type || '') = any(%(event_types_0)b::TEXT[])
                    AND (candidate.category || '') = any(%(categories_0)b::TEXT[])
                ORDER BY candidate.stream_id DESC, candidate.version DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('categories', 'event_types'), ('stream_ids',), ()), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(event_types_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.event_type, candidate.position) > (
                    filter_0.value, %(after_position_0)b::BIGINT
                )
                    AND (candidate.event_type, candidate.position) <= (
                        filter_0.value, %(up_to_position)b::BIGINT
                    )
                    AND (candidate.category || '') = any(%(categories_0)b::TEXT[])
                ORDER BY candidate.event_type DESC, candidate.position DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
            UNION
            SELECT match_1.position
            FROM unnest(%(stream_ids_1)b::TEXT[]) AS filter_1(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_1.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_1.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_1)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_1)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_1.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_1.value,
                        (
                            WITH RECURSIVE search(low, high) AS (
                                SELECT
                                    CAST(0 AS BIGINT) AS low,
                                    (
                                        SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                        FROM es_events AS newest
                                        WHERE newest.stream_id = filter_1.value
                                    ) AS high
                                UNION ALL
                                SELECT
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN probe.version
                                        ELSE search.low
                                        END AS low,
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN search.high
                                        ELSE (search.low + search.high + 1) / 2 - 1
                                        END AS high
                                FROM search
                                JOIN LATERAL (
                                    SELECT event.version, event.position
                                    FROM es_events AS event
                                    WHERE (event.stream_id, event.version) >= (
                                        filter_1.value, (search.low + search.high + 1) / 2
                                    )
                                    ORDER BY event.stream_id, event.version
                                    LIMIT 1
                                ) AS probe
                                    ON true
                                WHERE search.low < search.high
                            )
                            SELECT search.low
                            FROM search
                            WHERE search.low = search.high
                        )
                    )
                ORDER BY candidate.stream_id DESC, candidate.version DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_1
                ON true
            UNION
            SELECT match_2.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > %(after_position_2)b::BIGINT
                    AND candidate.position <= %(up_to_position)b::BIGINT
                ORDER BY candidate.position DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_2
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('tags',),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    (
                        SELECT wanted.name
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        ORDER BY (
                            SELECT count(*) AS number
                            FROM (
                                SELECT 1 AS one
                                FROM es_event_tags AS tag
                                WHERE tag.tag = (wanted.name COLLATE "C")
                                    AND tag.position > %(after_position_0)b::BIGINT
                                    AND tag.position <= %(up_to_position)b::BIGINT
                                    AND cardinality(%(tags_0)b::TEXT[]) > 1
                                ORDER BY tag.tag, tag.position
                                LIMIT 1000
                            ) AS counted
                        )
                        LIMIT 1
                    ) COLLATE "C"
                )
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                    AND NOT EXISTS (
                        SELECT 1
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        WHERE cardinality(%(tags_0)b::TEXT[]) > 1
                            AND NOT EXISTS (
                                SELECT 1
                                FROM es_event_tags AS other
                                WHERE other.tag = (wanted.name COLLATE "C")
                                    AND other.position = tag.position
                                OFFSET 0
                            )
                        OFFSET 0
                    )
                ORDER BY tag.position DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('tags', 'event_types'),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    (
                        SELECT wanted.name
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        ORDER BY (
                            SELECT count(*) AS number
                            FROM (
                                SELECT 1 AS one
                                FROM es_event_tags AS tag
                                WHERE tag.tag = (wanted.name COLLATE "C")
                                    AND tag.position > %(after_position_0)b::BIGINT
                                    AND tag.position <= %(up_to_position)b::BIGINT
                                    AND cardinality(%(tags_0)b::TEXT[]) > 1
                                ORDER BY tag.tag, tag.position
                                LIMIT 1000
                            ) AS counted
                        )
                        LIMIT 1
                    ) COLLATE "C"
                )
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                    AND tag.event_type = any(%(event_types_0)b::TEXT[])
                    AND NOT EXISTS (
                        SELECT 1
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        WHERE cardinality(%(tags_0)b::TEXT[]) > 1
                            AND NOT EXISTS (
                                SELECT 1
                                FROM es_event_tags AS other
                                WHERE other.tag = (wanted.name COLLATE "C")
                                    AND other.position = tag.position
                                OFFSET 0
                            )
                        OFFSET 0
                    )
                ORDER BY tag.position DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('tags', 'stream_ids', 'categories'),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    (
                        SELECT wanted.name
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        ORDER BY (
                            SELECT count(*) AS number
                            FROM (
                                SELECT 1 AS one
                                FROM es_event_tags AS tag
                                WHERE tag.tag = (wanted.name COLLATE "C")
                                    AND tag.position > %(after_position_0)b::BIGINT
                                    AND tag.position <= %(up_to_position)b::BIGINT
                                    AND cardinality(%(tags_0)b::TEXT[]) > 1
                                ORDER BY tag.tag, tag.position
                                LIMIT 1000
                            ) AS counted
                        )
                        LIMIT 1
                    ) COLLATE "C"
                )
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                    AND EXISTS (
                        SELECT 1
                        FROM es_events AS candidate
                        WHERE candidate.position = tag.position
                            AND candidate.stream_id = any(%(stream_ids_0)b::TEXT[])
                            AND candidate.category = any(%(categories_0)b::TEXT[])
                        OFFSET 0
                    )
                    AND NOT EXISTS (
                        SELECT 1
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        WHERE cardinality(%(tags_0)b::TEXT[]) > 1
                            AND NOT EXISTS (
                                SELECT 1
                                FROM es_event_tags AS other
                                WHERE other.tag = (wanted.name COLLATE "C")
                                    AND other.position = tag.position
                                OFFSET 0
                            )
                        OFFSET 0
                    )
                ORDER BY tag.position DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_partition(((),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE candidate.position > %(after_position_0)b::BIGINT
                    AND candidate.position <= %(up_to_position)b::BIGINT
                    AND mod(
                        CAST(
                            CAST(
                                'x' || left(
                                    encode(sha256(convert_to(candidate.stream_id, 'UTF8')), 'hex'),
                                    7
                                ) AS BIT(28)
                            ) AS INTEGER
                        ),
                        %(partitions)b::INTEGER
                    ) + 1 = %(partition_number)b::INTEGER
                ORDER BY candidate.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_partition((('categories',),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(categories_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.category, candidate.position) > (
                    filter_0.value, %(after_position_0)b::BIGINT
                )
                    AND (candidate.category, candidate.position) <= (
                        filter_0.value, %(up_to_position)b::BIGINT
                    )
                    AND mod(
                        CAST(
                            CAST(
                                'x' || left(
                                    encode(sha256(convert_to(candidate.stream_id, 'UTF8')), 'hex'),
                                    7
                                ) AS BIT(28)
                            ) AS INTEGER
                        ),
                        %(partitions)b::INTEGER
                    ) + 1 = %(partition_number)b::INTEGER
                ORDER BY candidate.category, candidate.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_partition((('tags',), ('stream_ids',)))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    CAST(NULL AS TEXT) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM (
                SELECT tag.position
                FROM es_event_tags AS tag
                WHERE tag.tag = (
                    (
                        SELECT wanted.name
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        ORDER BY (
                            SELECT count(*) AS number
                            FROM (
                                SELECT 1 AS one
                                FROM es_event_tags AS tag
                                WHERE tag.tag = (wanted.name COLLATE "C")
                                    AND tag.position > %(after_position_0)b::BIGINT
                                    AND tag.position <= %(up_to_position)b::BIGINT
                                    AND cardinality(%(tags_0)b::TEXT[]) > 1
                                ORDER BY tag.tag, tag.position
                                LIMIT 1000
                            ) AS counted
                        )
                        LIMIT 1
                    ) COLLATE "C"
                )
                    AND tag.position > %(after_position_0)b::BIGINT
                    AND tag.position <= %(up_to_position)b::BIGINT
                    AND EXISTS (
                        SELECT 1
                        FROM es_events AS candidate
                        WHERE candidate.position = tag.position
                            AND mod(
                                CAST(
                                    CAST(
                                        'x' || left(
                                            encode(
                                                sha256(convert_to(candidate.stream_id, 'UTF8')),
                                                'hex'
                                            ),
                                            7
                                        ) AS BIT(28)
                                    ) AS INTEGER
                                ),
                                %(partitions)b::INTEGER
                            ) + 1 = %(partition_number)b::INTEGER
                        OFFSET 0
                    )
                    AND NOT EXISTS (
                        SELECT 1
                        FROM unnest(%(tags_0)b::TEXT[]) AS wanted(name)
                        WHERE cardinality(%(tags_0)b::TEXT[]) > 1
                            AND NOT EXISTS (
                                SELECT 1
                                FROM es_event_tags AS other
                                WHERE other.tag = (wanted.name COLLATE "C")
                                    AND other.position = tag.position
                                OFFSET 0
                            )
                        OFFSET 0
                    )
                ORDER BY tag.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
            UNION
            SELECT match_1.position
            FROM unnest(%(stream_ids_1)b::TEXT[]) AS filter_1(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_1.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_1.value
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_1)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_1)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_1.value, (search.low + search.high + 1) / 2
                                )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_1.value,
                        (
                            WITH RECURSIVE search(low, high) AS (
                                SELECT
                                    CAST(0 AS BIGINT) AS low,
                                    (
                                        SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                        FROM es_events AS newest
                                        WHERE newest.stream_id = filter_1.value
                                    ) AS high
                                UNION ALL
                                SELECT
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN probe.version
                                        ELSE search.low
                                        END AS low,
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN search.high
                                        ELSE (search.low + search.high + 1) / 2 - 1
                                        END AS high
                                FROM search
                                JOIN LATERAL (
                                    SELECT event.version, event.position
                                    FROM es_events AS event
                                    WHERE (event.stream_id, event.version) >= (
                                        filter_1.value, (search.low + search.high + 1) / 2
                                    )
                                    ORDER BY event.stream_id, event.version
                                    LIMIT 1
                                ) AS probe
                                    ON true
                                WHERE search.low < search.high
                            )
                            SELECT search.low
                            FROM search
                            WHERE search.low = search.high
                        )
                    )
                ORDER BY candidate.stream_id, candidate.version
                LIMIT %(page_size)b::BIGINT
            ) AS match_1
                ON true
            WHERE true
                AND mod(
                    CAST(
                        CAST(
                            'x' || left(
                                encode(sha256(convert_to(filter_1.value, 'UTF8')), 'hex'), 7
                            ) AS BIT(28)
                        ) AS INTEGER
                    ),
                    %(partitions)b::INTEGER
                ) + 1 = %(partition_number)b::INTEGER
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.schemas.drawn_in_schemas
SELECT
    CAST(pg_namespace.nspname AS TEXT) AS schema,
    CAST(CAST(events.oid AS OID) AS BIGINT) AS es_events,
    CASE
        WHEN has_sequence_privilege(positions.oid, 'SELECT')
            THEN coalesce(pg_sequence_last_value(positions.oid), 0)
        END AS drawn,
    pg_postmaster_start_time() AS started_at
FROM pg_catalog.pg_namespace
JOIN pg_catalog.pg_class AS events
    ON events.relnamespace = pg_namespace.oid AND events.relname = 'es_events'
LEFT JOIN pg_catalog.pg_depend
    ON pg_depend.refclassid = CAST('pg_catalog.pg_class' AS REGCLASS)
        AND pg_depend.refobjid = events.oid
        AND pg_depend.refobjsubid > 0
        AND pg_depend.classid = CAST('pg_catalog.pg_class' AS REGCLASS)
        AND pg_depend.deptype = 'i'
LEFT JOIN pg_catalog.pg_class AS positions ON positions.oid = pg_depend.objid AND positions.relkind = 'S'
WHERE pg_namespace.nspname = any(%(schemas)b::TEXT[]);

-- postgresql.schemas.tables_with_appends
SELECT DISTINCT CAST(CAST(pg_locks.relation AS OID) AS BIGINT) AS es_events
FROM pg_catalog.pg_locks
WHERE pg_locks.locktype = 'relation'
    AND pg_locks.database = (
        SELECT pg_database.oid
        FROM pg_catalog.pg_database
        WHERE pg_database.datname = current_database()
    )
    AND pg_locks.relation = any(CAST(%(tables)b::BIGINT[] AS OID[]))
    AND pg_locks.mode = 'RowExclusiveLock'
    AND pg_locks.granted;

-- postgresql.statistics.database_size
SELECT pg_database_size(current_database()) AS bytes;

-- postgresql.statistics.estimated_rows
-- with name_of_es_checkpoints = 'es_checkpoints', name_of_es_detached_parts = 'es_detached_parts',
--   name_of_es_event_tags = 'es_event_tags', name_of_es_schema = 'es_schema', name_of_es_streams = 'es_streams',
--   name_of_es_dead_letters = 'es_dead_letters', name_of_es_events = 'es_events', name_of_snapshots = 'snapshots'
SELECT
    CAST(pg_catalog.pg_class.relname AS TEXT) AS relname,
    CAST(
        CASE
            WHEN (pg_catalog.pg_class.reltuples > 0 AND pg_catalog.pg_class.relpages > 0)
                THEN (pg_catalog.pg_class.reltuples / CAST(pg_catalog.pg_class.relpages AS NUMERIC)) * (
                    CAST(pg_relation_size(pg_catalog.pg_class.oid) AS FLOAT) / CAST(
                        CAST(current_setting('block_size') AS BIGINT) AS NUMERIC
                    )
                )
            ELSE pg_stat_get_live_tuples(pg_catalog.pg_class.oid)
            END AS BIGINT
    ) AS rows
FROM pg_catalog.pg_class
WHERE pg_catalog.pg_class.oid IN (
    to_regclass(%(name_of_es_checkpoints)b::TEXT),
    to_regclass(%(name_of_es_detached_parts)b::TEXT),
    to_regclass(%(name_of_es_event_tags)b::TEXT),
    to_regclass(%(name_of_es_schema)b::TEXT),
    to_regclass(%(name_of_es_streams)b::TEXT),
    to_regclass(%(name_of_es_dead_letters)b::TEXT),
    to_regclass(%(name_of_es_events)b::TEXT),
    to_regclass(%(name_of_snapshots)b::TEXT)
)
    OR pg_catalog.pg_class.oid IN (
        SELECT pg_catalog.pg_inherits.inhrelid
        FROM pg_catalog.pg_inherits
        WHERE pg_catalog.pg_inherits.inhparent = to_regclass(%(name_of_es_events)b::TEXT)
    );

-- postgresql.statistics.indexed_expressions
-- with name_of_es_events = 'es_events'
SELECT pg_get_indexdef(pg_catalog.pg_index.indexrelid, 1, true) AS first
FROM pg_catalog.pg_index
JOIN pg_catalog.pg_class ON pg_catalog.pg_class.oid = pg_catalog.pg_index.indexrelid
WHERE pg_catalog.pg_index.indrelid = to_regclass(%(name_of_es_events)b::TEXT)
    AND pg_catalog.pg_index.indisvalid
    AND pg_catalog.pg_index.indpred IS NULL
    AND pg_catalog.pg_class.relam = (
        SELECT pg_catalog.pg_am.oid FROM pg_catalog.pg_am WHERE pg_catalog.pg_am.amname = 'btree'
    );

-- postgresql.statistics.sizes
-- with name_of_es_checkpoints = 'es_checkpoints', name_of_es_detached_parts = 'es_detached_parts',
--   name_of_es_event_tags = 'es_event_tags', name_of_es_schema = 'es_schema', name_of_es_streams = 'es_streams',
--   name_of_es_dead_letters = 'es_dead_letters', name_of_es_events = 'es_events', name_of_snapshots = 'snapshots'
SELECT
    CAST(pg_catalog.pg_class.relname AS TEXT) AS "table",
    CAST(NULL AS TEXT) AS index,
    pg_table_size(pg_catalog.pg_class.oid) AS bytes
FROM pg_catalog.pg_class
WHERE pg_catalog.pg_class.oid IN (
    to_regclass(%(name_of_es_checkpoints)b::TEXT),
    to_regclass(%(name_of_es_detached_parts)b::TEXT),
    to_regclass(%(name_of_es_event_tags)b::TEXT),
    to_regclass(%(name_of_es_schema)b::TEXT),
    to_regclass(%(name_of_es_streams)b::TEXT),
    to_regclass(%(name_of_es_dead_letters)b::TEXT),
    to_regclass(%(name_of_es_events)b::TEXT),
    to_regclass(%(name_of_snapshots)b::TEXT)
)
    OR pg_catalog.pg_class.oid IN (
        SELECT pg_catalog.pg_inherits.inhrelid
        FROM pg_catalog.pg_inherits
        WHERE pg_catalog.pg_inherits.inhparent = to_regclass(%(name_of_es_events)b::TEXT)
    )
UNION ALL
SELECT
    CAST(pg_catalog.pg_class.relname AS TEXT) AS "table",
    CAST(index_class.relname AS TEXT) AS index,
    pg_relation_size(index_class.oid) AS bytes
FROM pg_catalog.pg_class
JOIN pg_catalog.pg_index ON pg_catalog.pg_index.indrelid = pg_catalog.pg_class.oid
JOIN pg_catalog.pg_class AS index_class ON index_class.oid = pg_catalog.pg_index.indexrelid
WHERE pg_catalog.pg_class.oid IN (
    to_regclass(%(name_of_es_checkpoints)b::TEXT),
    to_regclass(%(name_of_es_detached_parts)b::TEXT),
    to_regclass(%(name_of_es_event_tags)b::TEXT),
    to_regclass(%(name_of_es_schema)b::TEXT),
    to_regclass(%(name_of_es_streams)b::TEXT),
    to_regclass(%(name_of_es_dead_letters)b::TEXT),
    to_regclass(%(name_of_es_events)b::TEXT),
    to_regclass(%(name_of_snapshots)b::TEXT)
)
    OR pg_catalog.pg_class.oid IN (
        SELECT pg_catalog.pg_inherits.inhrelid
        FROM pg_catalog.pg_inherits
        WHERE pg_catalog.pg_inherits.inhparent = to_regclass(%(name_of_es_events)b::TEXT)
    );

-- postgresql.tag_locks.lock_tags
-- with name_of_es_event_tags = 'es_event_tags'
WITH
    earlier AS MATERIALIZED (
        SELECT CAST(
            coalesce(nullif(current_setting('eventstore.tag_locks', true), ''), '0') AS INTEGER
        ) AS number,
        coalesce(current_setting('eventstore.all_tags', true), '') AS tables,
        CAST(CAST(to_regclass(%(name_of_es_event_tags)b::TEXT) AS OID) AS TEXT) AS own_table
    ),
    verdict AS MATERIALIZED (
        SELECT
            earlier.number,
            earlier.tables,
            earlier.own_table,
            earlier.own_table = any(string_to_array(earlier.tables, ' ')) AS has_all,
            CASE
                WHEN earlier.own_table = any(string_to_array(earlier.tables, ' ')) THEN true
                WHEN %(number)b::INTEGER < 0 THEN earlier.number = 0
                WHEN earlier.number + %(number)b::INTEGER <= 256 THEN true
                ELSE (
                    SELECT count(*) + %(number)b::INTEGER <= 256 AS is_allowed
                    FROM pg_locks
                    WHERE pid = pg_backend_pid() AND locktype = 'advisory'
                )
                END AS is_allowed
        FROM earlier
    ),
    noted AS MATERIALIZED (
        SELECT
            set_config(
                'eventstore.tag_locks',
                CAST(
                    verdict.number + CASE WHEN verdict.is_allowed
                        AND NOT verdict.has_all
                        AND %(number)b::INTEGER > 0 THEN %(number)b::INTEGER ELSE 0 END AS TEXT
                ),
                true
            ) AS number,
            set_config(
                'eventstore.all_tags',
                CASE WHEN verdict.is_allowed
                    AND NOT verdict.has_all
                    AND %(number)b::INTEGER < 0 THEN verdict.tables || ' ' || verdict.own_table
                        ELSE verdict.tables
                        END,
                true
            ) AS tables
        FROM verdict
    )
SELECT
    verdict.is_allowed,
    current_setting('transaction_isolation') AS isolation_level,
    (
        SELECT count(
            CASE
                WHEN wanted.is_shared THEN CAST(pg_advisory_xact_lock_shared(wanted.key) AS TEXT)
                ELSE CAST(pg_advisory_xact_lock(wanted.key) AS TEXT)
                END
        ) AS number
        FROM (
            SELECT
                hashtextextended(
                    tag.name COLLATE "C",
                    CAST(CAST(to_regclass(%(name_of_es_event_tags)b::TEXT) AS OID) AS BIGINT)
                ) AS key,
                bool_and(tag.is_shared) AS is_shared
            FROM unnest(%(tags)b::TEXT[], %(are_shared)b::BOOLEAN[]) AS tag(name, is_shared)
            GROUP BY 1
            ORDER BY bool_or(tag.name = '') DESC, 1
        ) AS wanted
        WHERE verdict.is_allowed AND NOT verdict.has_all
    ) AS locked,
    noted.number,
    noted.tables
FROM verdict
JOIN noted ON true;

-- postgresql.tag_rows.delete_superfluous_tags
DELETE FROM es_event_tags AS tag
WHERE tag.tag <> ''
    AND NOT EXISTS (
        SELECT 1
        FROM es_events AS event
        WHERE event.position = tag.position
            AND event.event_type = tag.event_type
            AND event.metadata -> '$tags' ? tag.tag
    );

-- postgresql.tag_rows.delete_tags
DELETE FROM es_event_tags AS tag USING es_events AS event CROSS
JOIN LATERAL jsonb_array_elements_text(
    CASE jsonb_typeof(event.metadata -> '$tags')
        WHEN 'array' THEN event.metadata -> '$tags'
        ELSE '[]'
        END
) AS own(name)
WHERE event.stream_id = %(stream_id)b::TEXT
    AND event.version < %(before_version)b::BIGINT
    AND tag.tag = (own.name COLLATE "C")
    AND tag.position = event.position;

-- postgresql.tag_rows.find_tagged_event
SELECT 1 AS found
FROM es_events AS event
WHERE event.stream_id = %(stream_id)b::TEXT
    AND event.version < %(before_version)b::BIGINT
    AND event.metadata -> '$tags' IS NOT NULL
LIMIT 1;

-- postgresql.tag_rows.insert_tags
INSERT INTO es_event_tags (position, tag, event_type)
SELECT event.position, wanted.tag, event.event_type
FROM unnest(%(stream_ids)b::TEXT[], %(versions)b::BIGINT[], %(tags)b::TEXT[]) AS wanted(
    stream_id, version, tag
)
JOIN LATERAL (
    SELECT event.position, event.event_type
    FROM es_events AS event
    WHERE event.stream_id = (wanted.stream_id COLLATE "C") AND event.version = wanted.version
    LIMIT 1
) AS event
    ON true
ON CONFLICT (tag, position)
DO NOTHING;

-- postgresql.tag_rows.missing_tags
SELECT event.position, event.stream_id, event.version, count(*) AS number
FROM es_events AS event CROSS
JOIN LATERAL jsonb_array_elements_text(
    CASE jsonb_typeof(event.metadata -> '$tags')
        WHEN 'array' THEN event.metadata -> '$tags'
        ELSE '[]'
        END
) AS own(name)
WHERE event.position > %(after_position)b::BIGINT
    AND event.position <= %(up_to_position)b::BIGINT
    AND event.metadata -> '$tags' IS NOT NULL
    AND NOT EXISTS (
        SELECT 1
        FROM es_event_tags AS tag
        WHERE tag.tag = (own.name COLLATE "C")
            AND tag.position = event.position
            AND tag.event_type = event.event_type
    )
GROUP BY event.position, event.stream_id, event.version
ORDER BY event.position;

-- postgresql.tag_rows.page_of_tags
SELECT
    tag.tag,
    tag.position,
    coalesce(
        (
            SELECT event.event_type = tag.event_type AND event.metadata -> '$tags' ? tag.tag AS is_right
            FROM es_events AS event
            WHERE event.position = tag.position
        ),
        false
    ) AS is_right
FROM es_event_tags AS tag
WHERE (tag.tag, tag.position) > (%(after_tag)b::TEXT COLLATE "C", %(after_position)b::BIGINT)
ORDER BY tag.tag, tag.position
LIMIT %(page_size)b::BIGINT;

-- postgresql.tag_rows.restore_tags
INSERT INTO es_event_tags (position, tag, event_type)
SELECT event.position, own.name AS tag, event.event_type
FROM es_events AS event CROSS
JOIN LATERAL jsonb_array_elements_text(
    CASE jsonb_typeof(event.metadata -> '$tags')
        WHEN 'array' THEN event.metadata -> '$tags'
        ELSE '[]'
        END
) AS own(name)
WHERE event.position = any(%(positions)b::BIGINT[]) AND event.metadata -> '$tags' IS NOT NULL
ON CONFLICT (tag, position)
DO NOTHING;

-- postgresql.tag_rows.set_tags
UPDATE es_events AS event
SET metadata = jsonb_set(
    coalesce(event.metadata, CAST('{}' AS JSONB)), '{$tags}', CAST(wanted.tags AS JSONB)
)
FROM unnest(%(positions)b::BIGINT[], %(event_ids)b::UUID[], %(tags_before)b::TEXT[], %(tags)b::TEXT[]) AS wanted(
    position, event_id, tags_before, tags
)
WHERE event.position = wanted.position
    AND event.event_id = wanted.event_id
    AND coalesce(event.metadata -> '$tags', CAST('[]' AS JSONB)) = CAST(wanted.tags_before AS JSONB)
RETURNING event.position;

-- postgresql.transactions.limit_lock_waits
SELECT set_config('lock_timeout', '50ms', true) AS lock_timeout
WHERE CAST(current_setting('lock_timeout') AS INTERVAL) NOT BETWEEN '1 millisecond' AND '50 milliseconds';

-- postgresql.transactions.transaction_id
-- with name_of_es_checkpoints = 'es_checkpoints'
SELECT CAST(pg_current_xact_id() AS TEXT) AS id,
CAST(CAST(to_regclass(%(name_of_es_checkpoints)b::TEXT) AS OID) AS BIGINT) AS es_checkpoints;

-- postgresql.transfer.find_stored
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
JOIN unnest(%(stream_ids)b::TEXT[], %(versions)b::BIGINT[]) AS key(stream_id, version)
    ON es_events.stream_id = (key.stream_id COLLATE "C") AND es_events.version = key.version;

-- postgresql.transfer.set_imported_heads
UPDATE es_streams
SET
    version="new".version,
    created_at=CASE
        WHEN (es_streams.version = 0) THEN "new".created_at
        ELSE es_streams.created_at
        END,
    updated_at="new".updated_at,
    deleted_version="new".deleted_version,
    archived_version="new".archived_version
FROM unnest(
    %(stream_ids)b::TEXT[],
    %(versions)b::BIGINT[],
    %(created)b::TIMESTAMP WITH TIME ZONE[],
    %(updated)b::TIMESTAMP WITH TIME ZONE[],
    %(deleted)b::BIGINT[],
    %(archived)b::BIGINT[]
) AS "new"(stream_id, version, created_at, updated_at, deleted_version, archived_version)
WHERE es_streams.stream_id = ("new".stream_id COLLATE "C");

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
    %(projection)b::TEXT AS projection,
    %(attempts)b::INTEGER AS attempts,
    %(error)b::TEXT AS error,
    'pending' AS status
FROM es_events
WHERE es_events.position = %(position)b::BIGINT;

-- projections.advance_checkpoint
UPDATE es_checkpoints
SET
    position=%(position)b::BIGINT,
    updated_at=statement_timestamp(),
    seen_at=statement_timestamp(),
    failed_at=NULL,
    worker=%(worker)b::TEXT,
    failure=NULL,
    event_position=%(event_position)b::BIGINT,
    event_id=%(event_id)b::UUID,
    event_stream_id=%(event_stream_id)b::TEXT,
    event_version=%(event_version)b::BIGINT
WHERE es_checkpoints.name = %(name)b::TEXT COLLATE "C" AND es_checkpoints.position = %(old)b::BIGINT
RETURNING es_checkpoints.position;

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
    %(position)b::BIGINT,
    %(name)b::TEXT COLLATE "C",
    %(event_position)b::BIGINT,
    %(event_id)b::UUID,
    %(event_stream_id)b::TEXT COLLATE "C",
    %(event_version)b::BIGINT,
    %(started_after)b::BIGINT,
    %(outside_after)b::BIGINT,
    %(partitions)b::INTEGER,
    %(partition_number)b::INTEGER,
    %(partition_of)b::TEXT COLLATE "C"
)
ON CONFLICT (name)
DO NOTHING
RETURNING es_checkpoints.name;

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
    %(position)b::BIGINT,
    %(name)b::TEXT COLLATE "C",
    %(event_position)b::BIGINT,
    %(event_id)b::UUID,
    %(event_stream_id)b::TEXT COLLATE "C",
    %(event_version)b::BIGINT,
    %(started_after)b::BIGINT,
    %(outside_after)b::BIGINT,
    %(partitions)b::INTEGER
)
ON CONFLICT (name)
DO NOTHING
RETURNING es_checkpoints.name;

-- projections.blocked_streams
SELECT DISTINCT es_dead_letters.stream_id
FROM es_dead_letters
WHERE es_dead_letters.projection = %(projection)b::TEXT AND es_dead_letters.status = 'pending';

-- projections.close_dead_letter
UPDATE es_dead_letters
SET
    closed_at=statement_timestamp(),
    status=%(status)b::TEXT,
    note=coalesce(%(note)b::TEXT, es_dead_letters.note)
WHERE es_dead_letters.projection = %(projection)b::TEXT
    AND es_dead_letters.status = 'pending'
    AND es_dead_letters.position = %(at_position)b::BIGINT
RETURNING es_dead_letters.position;

-- projections.count_dead_letters
SELECT es_dead_letters.projection, count(*) AS pending
FROM es_dead_letters
WHERE es_dead_letters.status = 'pending'
GROUP BY es_dead_letters.projection;

-- projections.count_events_after
SELECT count(*) AS events
FROM (
    SELECT 1 AS event
    FROM es_events
    WHERE es_events.position > %(after_position)b::BIGINT
    LIMIT %(at_most)b::BIGINT
) AS counted;

-- projections.count_pending_after
SELECT count(*) AS pending
FROM es_dead_letters
WHERE es_dead_letters.projection = %(projection)b::TEXT
    AND es_dead_letters.status = 'pending'
    AND es_dead_letters.position > %(after_position)b::BIGINT;

-- projections.count_some_dead_letters
SELECT count(*) AS pending
FROM (
    SELECT es_dead_letters.position AS position
    FROM es_dead_letters
    WHERE es_dead_letters.projection = %(projection)b::TEXT AND es_dead_letters.status = 'pending'
    ORDER BY es_dead_letters.stream_id, es_dead_letters.position
    LIMIT %(at_most)b::BIGINT
) AS counted;

-- projections.create_checkpoint
INSERT INTO es_checkpoints (position, name)
VALUES (%(position)b::BIGINT, %(name)b::TEXT)
ON CONFLICT (name)
DO NOTHING;

-- projections.delete_checkpoint
DELETE FROM es_checkpoints WHERE es_checkpoints.name = %(name)b::TEXT COLLATE "C";

-- projections.delete_dead_letters
DELETE FROM es_dead_letters WHERE es_dead_letters.projection = %(projection)b::TEXT COLLATE "C";

-- projections.delete_dead_letters_after
DELETE FROM es_dead_letters
WHERE es_dead_letters.projection = %(projection)b::TEXT
    AND es_dead_letters.position > %(after_position)b::BIGINT;

-- projections.delete_partitions
DELETE FROM es_checkpoints WHERE es_checkpoints.partition_of = %(projection)b::TEXT COLLATE "C";

-- projections.fail_dead_letter
UPDATE es_dead_letters
SET
    last_failed_at=statement_timestamp(),
    attempts=(es_dead_letters.attempts + 1),
    error=%(error)b::TEXT
WHERE es_dead_letters.projection = %(projection)b::TEXT
    AND es_dead_letters.status = 'pending'
    AND es_dead_letters.position = %(at_position)b::BIGINT
RETURNING es_dead_letters.position, es_dead_letters.attempts;

-- projections.find_checkpoint
SELECT
    es_checkpoints.position,
    es_checkpoints.seen_at,
    es_checkpoints.worker,
    es_checkpoints.failure,
    statement_timestamp() AS now,
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
WHERE es_checkpoints.name = %(name)b::TEXT COLLATE "C";

-- projections.find_checkpoints
SELECT
    coalesce(es_checkpoints.partition_of, es_checkpoints.name) AS name,
    es_checkpoints.position,
    es_checkpoints.worker,
    es_checkpoints.failure,
    es_checkpoints.updated_at,
    es_checkpoints.seen_at,
    es_checkpoints.failed_at,
    statement_timestamp() AS now,
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
WHERE es_dead_letters.projection = %(projection)b::TEXT COLLATE "C"
    AND es_dead_letters.status = %(status)b::TEXT COLLATE "C"
    AND es_dead_letters.position > %(after_position)b::BIGINT
ORDER BY es_dead_letters.position
LIMIT %(page_size)b::BIGINT;

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
WHERE es_checkpoints.partition_of = %(projection)b::TEXT COLLATE "C"
ORDER BY es_checkpoints.position, es_checkpoints.partition_number;

-- projections.first_event_since
SELECT min(es_events.position + 0) AS position
FROM es_events
WHERE es_events.recorded_at >= %(since)b::TIMESTAMP WITH TIME ZONE;

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
WHERE es_checkpoints.name = %(name)b::TEXT COLLATE "C" AND es_checkpoints.partitions = 1
FOR UPDATE SKIP LOCKED;

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
WHERE es_checkpoints.partition_of = %(projection)b::TEXT COLLATE "C"
    AND es_checkpoints.position < %(settled_position)b::BIGINT
    AND (
        es_checkpoints.stop_position IS NULL
            OR es_checkpoints.position < es_checkpoints.stop_position
    )
    AND %(left_out)b::TEXT NOT LIKE (
        '%%,' || CAST(es_checkpoints.partition_number AS TEXT) || ',%%'
    )
ORDER BY
    CASE WHEN (es_checkpoints.failure IS NULL) THEN 0 ELSE 1 END,
    es_checkpoints.failed_at NULLS LAST,
    es_checkpoints.position,
    es_checkpoints.partition_number
LIMIT 1
FOR UPDATE SKIP LOCKED;

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
WHERE es_checkpoints.name = %(name)b::TEXT COLLATE "C"
FOR NO KEY UPDATE;

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
WHERE es_checkpoints.name = %(name)b::TEXT COLLATE "C"
FOR UPDATE SKIP LOCKED;

-- projections.mark_failed
UPDATE es_checkpoints
SET failed_at=statement_timestamp(), failure=%(failure)b::TEXT
WHERE es_checkpoints.name = (
    SELECT es_checkpoints.name
    FROM es_checkpoints
    WHERE es_checkpoints.name = %(name)b::TEXT
    FOR UPDATE SKIP LOCKED
);

-- projections.mark_retrying
UPDATE es_checkpoints
SET
    seen_at=statement_timestamp(),
    failed_at=NULL,
    worker=%(worker)b::TEXT,
    failure=%(failure)b::TEXT
WHERE es_checkpoints.name = (
    SELECT es_checkpoints.name
    FROM es_checkpoints
    WHERE es_checkpoints.name = %(name)b::TEXT
    FOR UPDATE SKIP LOCKED
);

-- projections.mark_seen
UPDATE es_checkpoints
SET seen_at=statement_timestamp(), worker=%(worker)b::TEXT
WHERE es_checkpoints.name = (
    SELECT es_checkpoints.name
    FROM es_checkpoints
    WHERE es_checkpoints.name = %(name)b::TEXT
    FOR UPDATE SKIP LOCKED
);

-- projections.mark_stopped
UPDATE es_checkpoints
SET seen_at=NULL
WHERE es_checkpoints.name = (
    SELECT es_checkpoints.name
    FROM es_checkpoints
    WHERE es_checkpoints.name = %(name)b::TEXT
    FOR UPDATE SKIP LOCKED
)
    AND es_checkpoints.worker = %(worker)b::TEXT;

-- projections.mark_stopped_in_partitions
UPDATE es_checkpoints
SET seen_at=NULL
WHERE es_checkpoints.name IN (
    SELECT es_checkpoints.name
    FROM es_checkpoints
    WHERE es_checkpoints.partition_of = %(projection)b::TEXT COLLATE "C"
        AND es_checkpoints.worker = %(worker)b::TEXT
    FOR UPDATE SKIP LOCKED
);

-- projections.move_partition
UPDATE es_checkpoints
SET name=%(new_name)b::TEXT, partition_of=%(new_partition_of)b::TEXT
WHERE es_checkpoints.name = %(name)b::TEXT;

-- projections.names_of_projections
SELECT es_checkpoints.name
FROM es_checkpoints
WHERE es_checkpoints.partition_of IS NULL
ORDER BY es_checkpoints.name;

-- projections.next_event_time
SELECT es_events.recorded_at
FROM es_events
WHERE es_events.position > %(after_position)b::BIGINT
ORDER BY es_events.position
LIMIT 1;

-- projections.plan_partitions
UPDATE es_checkpoints
SET next_partitions=%(next_partitions)b::INTEGER
WHERE es_checkpoints.name = %(name)b::TEXT;

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
            LIMIT %(at_most)b::BIGINT
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
            LIMIT %(at_most)b::BIGINT
        ) AS pending
    ) AS dead_letters,
    es_checkpoints.failure,
    es_checkpoints.failed_at,
    statement_timestamp() AS now,
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
    AND es_dead_letters.projection = %(projection)b::TEXT
    AND es_dead_letters.status = 'pending'
    AND es_dead_letters.stream_id = %(stream_id)b::TEXT COLLATE "C"
ORDER BY es_dead_letters.position
LIMIT %(page_size)b::BIGINT;

-- projections.release_partitions
UPDATE es_checkpoints
SET stop_position=NULL
WHERE es_checkpoints.partition_of = %(projection)b::TEXT;

-- projections.rename_checkpoint
UPDATE es_checkpoints SET name=%(new_name)b::TEXT WHERE es_checkpoints.name = %(name)b::TEXT;

-- projections.rename_dead_letters
UPDATE es_dead_letters
SET projection=%(new_name)b::TEXT
WHERE es_dead_letters.projection = %(name)b::TEXT;

-- projections.reset_checkpoint
UPDATE es_checkpoints
SET
    position=es_checkpoints.started_after,
    updated_at=statement_timestamp(),
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
WHERE es_checkpoints.name = %(name)b::TEXT;

-- projections.set_back_checkpoint
UPDATE es_checkpoints
SET
    position=CASE
        WHEN (es_checkpoints.position > %(after_position)b::BIGINT) THEN %(after_position)b::BIGINT
        ELSE es_checkpoints.position
        END,
    updated_at=statement_timestamp(),
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
WHERE es_checkpoints.name = %(name)b::TEXT;

-- projections.set_outside_after
UPDATE es_checkpoints
SET outside_after=%(outside_after)b::BIGINT
WHERE es_checkpoints.name = %(name)b::TEXT;

-- projections.set_partitions
UPDATE es_checkpoints
SET
    position=%(position)b::BIGINT,
    updated_at=statement_timestamp(),
    seen_at=NULL,
    failed_at=NULL,
    worker=NULL,
    failure=NULL,
    event_position=%(event_position)b::BIGINT,
    event_id=%(event_id)b::UUID,
    event_stream_id=%(event_stream_id)b::TEXT COLLATE "C",
    event_version=%(event_version)b::BIGINT,
    outside_after=%(outside_after)b::BIGINT,
    partitions=%(partitions)b::INTEGER,
    next_partitions=NULL
WHERE es_checkpoints.name = %(name)b::TEXT;

-- projections.stop_partition
UPDATE es_checkpoints
SET stop_position=CASE
    WHEN (es_checkpoints.position > %(stop_position)b::BIGINT) THEN es_checkpoints.position
    ELSE %(stop_position)b::BIGINT
    END
WHERE es_checkpoints.name = %(name)b::TEXT;

-- projections.stop_partition_unless_locked
UPDATE es_checkpoints
SET stop_position=CASE
    WHEN (es_checkpoints.position > %(stop_position)b::BIGINT) THEN es_checkpoints.position
    ELSE %(stop_position)b::BIGINT
    END
WHERE es_checkpoints.name = (
    SELECT es_checkpoints.name
    FROM es_checkpoints
    WHERE es_checkpoints.name = %(name)b::TEXT
    FOR UPDATE SKIP LOCKED
);

-- reading.newest_stored_version
SELECT max(es_events.version) AS version
FROM es_events
WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C";

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
WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
    AND es_events.version > %(after_version)b::BIGINT
    AND es_events.version <= %(up_to_version)b::BIGINT
ORDER BY es_events.version
LIMIT %(page_size)b::BIGINT;

-- reading.read_page_backwards
-- with name_of_es_events = 'es_events'
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
    WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
        AND es_events.version > %(after_version)b::BIGINT
        AND es_events.version <= %(up_to_version)b::BIGINT
    ORDER BY es_events.version DESC
    LIMIT %(page_size)b::BIGINT
) AS page
UNION ALL
SELECT
    0 AS position,
    NULL AS stream_id,
    0 AS version,
    NULL AS event_id,
    NULL AS event_type,
    NULL AS schema_version,
    NULL AS codec,
    NULL AS data,
    NULL AS metadata,
    NULL AS recorded_at
WHERE to_regclass(%(name_of_es_events)b::TEXT) != CAST(%(table)b::BIGINT AS OID) AND pg_backend_pid() > 0;

-- reading.read_page_forwards
-- with name_of_es_events = 'es_events'
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
    WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
        AND es_events.version > %(after_version)b::BIGINT
        AND es_events.version <= %(up_to_version)b::BIGINT
    ORDER BY es_events.version
    LIMIT %(page_size)b::BIGINT
) AS page
UNION ALL
SELECT
    0 AS position,
    NULL AS stream_id,
    0 AS version,
    NULL AS event_id,
    NULL AS event_type,
    NULL AS schema_version,
    NULL AS codec,
    NULL AS data,
    NULL AS metadata,
    NULL AS recorded_at
WHERE to_regclass(%(name_of_es_events)b::TEXT) != CAST(%(table)b::BIGINT AS OID) AND pg_backend_pid() > 0;

-- reading.read_page_of_types(2, backwards=False)
-- with name_of_es_events = 'es_events'
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
    WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
        AND es_events.version > %(after_version)b::BIGINT
        AND es_events.version <= %(up_to_version)b::BIGINT
        AND es_events.event_type IN (%(event_type_0)b::TEXT, %(event_type_1)b::TEXT)
    ORDER BY es_events.version
    LIMIT %(page_size)b::BIGINT
) AS page
UNION ALL
SELECT
    0 AS position,
    NULL AS stream_id,
    0 AS version,
    NULL AS event_id,
    NULL AS event_type,
    NULL AS schema_version,
    NULL AS codec,
    NULL AS data,
    NULL AS metadata,
    NULL AS recorded_at
WHERE to_regclass(%(name_of_es_events)b::TEXT) != CAST(%(table)b::BIGINT AS OID) AND pg_backend_pid() > 0;

-- reading.read_page_of_types(2, backwards=True)
-- with name_of_es_events = 'es_events'
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
    WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
        AND es_events.version > %(after_version)b::BIGINT
        AND es_events.version <= %(up_to_version)b::BIGINT
        AND es_events.event_type IN (%(event_type_0)b::TEXT, %(event_type_1)b::TEXT)
    ORDER BY es_events.version DESC
    LIMIT %(page_size)b::BIGINT
) AS page
UNION ALL
SELECT
    0 AS position,
    NULL AS stream_id,
    0 AS version,
    NULL AS event_id,
    NULL AS event_type,
    NULL AS schema_version,
    NULL AS codec,
    NULL AS data,
    NULL AS metadata,
    NULL AS recorded_at
WHERE to_regclass(%(name_of_es_events)b::TEXT) != CAST(%(table)b::BIGINT AS OID) AND pg_backend_pid() > 0;

-- reading.stream_version
SELECT es_streams.version
FROM es_streams
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C";

-- recoding.payloads_of_other_codecs
SELECT es_events.position, es_events.event_type, es_events.codec, es_events.data
FROM es_events
WHERE es_events.position > %(after_position)b::BIGINT
    AND es_events.position <= %(up_to_position)b::BIGINT
    AND es_events.codec != %(codec)b::INTEGER
ORDER BY es_events.position
LIMIT %(page_size)b::BIGINT;

-- recoding.write_payload
UPDATE es_events
SET codec=%(new_codec)b::INTEGER, data=%(new_data)b
WHERE es_events.position = %(at_position)b::BIGINT AND es_events.codec = %(old_codec)b::INTEGER
RETURNING es_events.position;

-- repairs.delete_head_without_events
DELETE FROM es_streams
WHERE es_streams.stream_id = %(stream_id)b::TEXT
    AND NOT (EXISTS (SELECT 1 FROM es_events WHERE es_events.stream_id = es_streams.stream_id))
    AND NOT 1 = 0
RETURNING es_streams.version;

-- repairs.delete_snapshot_at_version
DELETE FROM snapshots
WHERE snapshots.stream_id = %(stream_id)b::TEXT
    AND snapshots.schema_version = %(schema_version)b::INTEGER
    AND snapshots.version = %(version)b::BIGINT
RETURNING snapshots.version;

-- repairs.delete_snapshots_beyond_head
DELETE FROM snapshots
WHERE snapshots.stream_id = %(stream_id)b::TEXT
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
RETURNING snapshots.version;

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
WHERE es_events.stream_id = %(stream_id)b::TEXT
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
RETURNING es_streams.version;

-- schema.schema_version
-- with name_of_es_events = 'es_events'
SELECT
    es_schema.version,
    es_schema.breaking_version,
    to_regclass('pg_catalog.pg_dist_local_group') IS NOT NULL AS has_citus,
    (
        SELECT CAST(pg_class.oid AS BIGINT) AS oid
        FROM pg_catalog.pg_class
        WHERE pg_class.oid = to_regclass(%(name_of_es_events)b::TEXT)
    ) AS es_events,
    (
        SELECT pg_class.relkind = 'p' AS is_partitioned
        FROM pg_catalog.pg_class
        WHERE pg_class.oid = to_regclass(%(name_of_es_events)b::TEXT)
    ) AS is_partitioned
FROM es_schema;

-- snapshots.delete_snapshot
DELETE FROM snapshots
WHERE snapshots.stream_id = %(stream_id)b::TEXT COLLATE "C"
    AND snapshots.schema_version = %(schema_version)b::INTEGER
RETURNING snapshots.version;

-- snapshots.delete_snapshots
DELETE FROM snapshots
WHERE snapshots.stream_id = %(stream_id)b::TEXT COLLATE "C"
RETURNING snapshots.version;

-- snapshots.load_snapshot
SELECT snapshots.version, snapshots.codec, snapshots.state, snapshots.created_at
FROM snapshots, es_streams
WHERE snapshots.stream_id = %(stream_id)b::TEXT COLLATE "C"
    AND snapshots.schema_version = %(schema_version)b::INTEGER
    AND es_streams.stream_id = snapshots.stream_id
    AND snapshots.version <= es_streams.version;

-- snapshots.save_snapshot
INSERT INTO snapshots (stream_id, schema_version, version, codec, state)
SELECT
    %(stream_id)b::TEXT AS stream_id,
    %(schema_version)b::INTEGER AS schema_version,
    %(version)b::BIGINT AS version,
    %(codec)b::SMALLINT AS codec,
    %(state)b AS state
FROM es_streams
JOIN es_events ON es_events.stream_id = es_streams.stream_id AND es_events.version = %(version)b::BIGINT
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C" AND es_streams.version >= %(version)b::BIGINT
ON CONFLICT (stream_id, schema_version)
DO UPDATE SET
    version = excluded.version,
    created_at = excluded.created_at,
    codec = excluded.codec,
    state = excluded.state
WHERE snapshots.version < excluded.version
RETURNING snapshots.version;

-- statistics.count_events_since
SELECT count(*) AS events
FROM (
    SELECT 1 AS event
    FROM es_events
    WHERE es_events.recorded_at >= %(since)b::TIMESTAMP WITH TIME ZONE
    LIMIT %(at_most)b::BIGINT
) AS counted;

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
        WHERE es_events.position >= sample.position + %(stride)b::BIGINT
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
SELECT statement_timestamp() AS now;

-- transfer.begin_stream_before
UPDATE es_streams
SET after_position=(%(position)b::BIGINT - 1)
WHERE es_streams.stream_id = %(of_stream)b::TEXT AND es_streams.after_position >= %(position)b::BIGINT;

-- transfer.insert_snapshot
INSERT INTO snapshots (version, created_at, schema_version, codec, stream_id, state)
VALUES (
    %(version)b::BIGINT,
    %(created_at)b::TIMESTAMP WITH TIME ZONE,
    %(schema_version)b::INTEGER,
    %(codec)b::SMALLINT,
    %(stream_id)b::TEXT COLLATE "C",
    %(state)b
)
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
WHERE (metadata -> '$imported' ->> 'from') = %(source)b::TEXT
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
WHERE snapshots.stream_id > %(after_stream_id)b::TEXT
    OR snapshots.stream_id = %(after_stream_id)b::TEXT
    AND snapshots.schema_version > %(after_schema_version)b::INTEGER
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT %(page_size)b::BIGINT;

-- transfer.set_times_of_stream
UPDATE es_streams
SET
    created_at=%(created_at)b::TIMESTAMP WITH TIME ZONE,
    updated_at=CASE
        WHEN (es_streams.version = %(at_version)b::BIGINT) THEN %(updated_at)b
        ELSE es_streams.updated_at
        END
WHERE es_streams.stream_id = %(of_stream)b::TEXT;

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
    WHERE es_events.stream_id = %(stream_id)b::TEXT
) AS step
WHERE step.version != step.version_before + 1 OR step.position <= step.position_before
ORDER BY step.version, step.position
LIMIT %(page_size)b::BIGINT;

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
        END
ORDER BY es_checkpoints.name;

-- verification.doubled_positions
SELECT es_events.position, count(*) AS count
FROM es_events
WHERE es_events.position > %(after_position)b::BIGINT AND es_events.position <= %(up_to_position)b::BIGINT
GROUP BY es_events.position
HAVING count(*) > 1
ORDER BY es_events.position;

-- verification.end_of_streams
SELECT es_streams.stream_id
FROM es_streams
WHERE es_streams.stream_id > %(after)b::TEXT
ORDER BY es_streams.stream_id
LIMIT 1
OFFSET %(skipped)b::BIGINT;

-- verification.events_out_of_bounds
SELECT
    es_events.version,
    es_events.position,
    es_events.event_type,
    es_events.schema_version,
    es_events.codec
FROM es_events
WHERE es_events.stream_id = %(stream_id)b::TEXT
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
LIMIT %(page_size)b::BIGINT;

-- verification.events_without_stream(bounded=False)
SELECT es_events.stream_id, count(*) AS count, max(es_events.version) AS newest
FROM es_events
WHERE es_events.stream_id > %(after)b::TEXT
    AND NOT (EXISTS (SELECT 1 FROM es_streams WHERE es_streams.stream_id = es_events.stream_id))
GROUP BY es_events.stream_id
ORDER BY es_events.stream_id
LIMIT %(page_size)b::BIGINT;

-- verification.events_without_stream(bounded=True)
SELECT es_events.stream_id, count(*) AS count, max(es_events.version) AS newest
FROM es_events
WHERE es_events.stream_id > %(after)b::TEXT
    AND es_events.stream_id <= %(last)b::TEXT
    AND NOT (EXISTS (SELECT 1 FROM es_streams WHERE es_streams.stream_id = es_events.stream_id))
GROUP BY es_events.stream_id
ORDER BY es_events.stream_id
LIMIT %(page_size)b::BIGINT;

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
WHERE (es_dead_letters.projection, es_dead_letters.position) > (
    %(projection)b::TEXT, %(position)b::BIGINT
)
    AND es_dead_letters.status = 'pending'
ORDER BY es_dead_letters.projection, es_dead_letters.position
LIMIT %(page_size)b::BIGINT;

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
WHERE (snapshots.stream_id, snapshots.schema_version) > (%(stream_id)b::TEXT, %(schema_version)b::INTEGER)
ORDER BY snapshots.stream_id, snapshots.schema_version
LIMIT %(page_size)b::BIGINT;

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
        WHERE es_events.stream_id > %(after)b::TEXT
    ) AS step
    GROUP BY step.stream_id
) AS summary
    ON summary.stream_id = es_streams.stream_id
WHERE es_streams.stream_id > %(after)b::TEXT
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
        WHERE es_events.stream_id > %(after)b::TEXT AND es_events.stream_id <= %(last)b::TEXT
    ) AS step
    GROUP BY step.stream_id
) AS summary
    ON summary.stream_id = es_streams.stream_id
WHERE es_streams.stream_id > %(after)b::TEXT AND es_streams.stream_id <= %(last)b::TEXT
ORDER BY es_streams.stream_id;


-- ======== written as text

-- backends/postgresql/autocommit.py: at_read_committed
BEGIN ISOLATION LEVEL READ COMMITTED;

-- backends/postgresql/autocommit.py: at_read_committed
COMMIT;

-- backends/postgresql/autocommit.py: at_read_committed
ROLLBACK;

-- backends/postgresql/connections.py: PostgreSQLConnections.transaction_state
SELECT 1;

-- backends/postgresql/cursors.py: _reads_nulls
SHOW array_nulls;

-- backends/postgresql/diagnosis.py: _pooler
SELECT pg_backend_pid();

-- backends/postgresql/direct_runs.py: DirectRun._in_transaction
BEGIN ISOLATION LEVEL READ COMMITTED;

-- backends/postgresql/direct_runs.py: DirectRun._in_transaction
COMMIT;

-- backends/postgresql/direct_runs.py: DirectRun._report_loss
SELECT 1;

-- backends/postgresql/listener.py: PostgreSQLListener.__init__
LISTEN {};

-- backends/postgresql/rights.py
LOCK TABLE {…};

-- backends/postgresql/rights.py: rights_on
INSERT ({…});

-- backends/postgresql/rights.py: rights_on
UPDATE ({…});

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

-- contrib/django/engines.py: engine_of.connect
SET ROLE {};

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

-- transfer/sources/postgresql_catalog.py
SELECT
    pg_class.relkind::text AS relkind,
    pg_is_in_recovery() AS is_standby,
    EXISTS (SELECT FROM pg_catalog.pg_subscription_rel WHERE srrelid = pg_class.oid) AS is_replicated
FROM pg_catalog.pg_class
WHERE pg_class.oid = to_regclass(:name);

-- transfer/sources/postgresql_catalog.py
SELECT attname AS name, format_type(atttypid, -1) AS type, attnotnull AS is_not_null
FROM pg_catalog.pg_attribute
WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped
ORDER BY attnum;

-- transfer/sources/postgresql_catalog.py
SELECT (
    SELECT array_agg(pg_attribute.attname::text)
    FROM pg_catalog.pg_attribute
    WHERE pg_attribute.attrelid = pg_index.indrelid
        AND pg_attribute.attnum = any((pg_index.indkey::smallint[])[0:pg_index.indnkeyatts - 1])
) AS names
FROM pg_catalog.pg_index
WHERE pg_index.indrelid = to_regclass(:name)
    AND pg_index.indisunique
    AND pg_index.indisvalid
    AND pg_index.indpred IS NULL
    AND pg_index.indexprs IS NULL;

-- transfer/sources/postgresql_catalog.py
SELECT
    pg_sequence.seqrelid::regclass::text AS name,
    pg_sequence.seqcache AS cache,
    pg_sequence.seqincrement AS increment,
    pg_sequence.seqcycle AS cycles
FROM pg_catalog.pg_attribute
JOIN pg_catalog.pg_sequence
    ON pg_sequence.seqrelid IN (
        SELECT pg_depend.refobjid
        FROM pg_catalog.pg_attrdef
        JOIN pg_catalog.pg_depend
            ON pg_depend.classid = 'pg_attrdef'::regclass AND pg_depend.objid = pg_attrdef.oid
        WHERE pg_attrdef.adrelid = pg_attribute.attrelid
            AND pg_attrdef.adnum = pg_attribute.attnum
            AND pg_depend.refclassid = 'pg_class'::regclass
        UNION
        SELECT pg_depend.objid
        FROM pg_catalog.pg_depend
        WHERE pg_depend.classid = 'pg_class'::regclass
            AND pg_depend.deptype = 'i'
            AND pg_depend.refobjid = pg_attribute.attrelid
            AND pg_depend.refobjsubid = pg_attribute.attnum
    )
WHERE pg_attribute.attrelid = to_regclass(:name) AND pg_attribute.attname = :column
ORDER BY pg_sequence.seqcache DESC
LIMIT 1;

-- transfer/sources/postgresql_catalog.py
WITH RECURSIVE parts (relation) AS (
    SELECT to_regclass(:name)::oid AS relation
    UNION
    SELECT pg_inherits.inhrelid
    FROM parts
    JOIN pg_catalog.pg_inherits ON pg_inherits.inhparent = parts.relation
)
SELECT pg_locks.virtualtransaction
FROM pg_catalog.pg_locks
WHERE pg_locks.locktype = 'relation'
    AND pg_locks.database = (
        SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()
    )
    AND pg_locks.relation IN (SELECT parts.relation FROM parts)
    AND pg_locks.mode = 'RowExclusiveLock'
    AND pg_locks.granted;

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

-- views/on_postgresql.py: create_index
CREATE INDEX CONCURRENTLY {…} ON {…} {…};

-- views/on_postgresql.py: create_view
CREATE VIEW {…} AS SELECT {…} FROM {…} WHERE {…} AND {…};

-- views/on_postgresql.py: functions
CREATE
    OR REPLACE FUNCTION {…}({…}) RETURNS {…} LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN {…};


-- ======== on tables before version 6

-- deletion.find_tombstone
SELECT es_streams.version, es_events.event_type AS event_type, es_events.codec, es_events.data
FROM es_streams
LEFT OUTER JOIN es_events
    ON es_events.stream_id = es_streams.stream_id
        AND es_events.version = es_streams.version
        AND es_events.event_type IN ('$stream-deleted', '$stream-archived')
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C";

-- heads.write_head(Expectation.VERSION)
UPDATE es_streams
SET version=(es_streams.version + %(count)b::BIGINT), updated_at=statement_timestamp()
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C"
    AND true
    AND es_streams.version = %(expected)b::BIGINT
RETURNING es_streams.version;

-- heads.write_head(Expectation.EXISTING)
UPDATE es_streams
SET version=(es_streams.version + %(count)b::BIGINT), updated_at=statement_timestamp()
WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C" AND true AND es_streams.version > 0
RETURNING es_streams.version;

-- heads.write_head(Expectation.NOTHING)
INSERT INTO es_streams (version, stream_id)
VALUES (%(count)b::BIGINT, %(stream_id)b::TEXT COLLATE "C")
ON CONFLICT (stream_id)
DO UPDATE SET version = (es_streams.version + %(count)b::BIGINT), updated_at = excluded.updated_at
WHERE true
RETURNING es_streams.version;


-- ======== on a partitioned log

-- postgresql.log_view.log_view
-- with name_of_es_events = 'es_events'
SELECT
    newest.position,
    newest.event_id,
    newest.stream_id,
    newest.version,
    known.positions,
    known.ids,
    (
        coalesce(newest.position, 0) > %(settled)b::BIGINT
            OR %(settled)b::BIGINT > 0
            AND NOT coalesce(%(settled_id)b::UUID = any(known.ids), false)
    ) AS has_read_locks,
    holders.appenders,
    holders.own,
    current_setting('transaction_isolation') AS isolation_level,
    server.es_events,
    server.started_at,
    server.in_recovery,
    state.persistence,
    state.cache,
    state.drawn,
    CASE
        WHEN server.in_recovery
            THEN CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)
        END AS oldest,
    CASE
        WHEN server.in_recovery
            THEN CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) + age(
                xid(pg_snapshot_xmin(pg_current_snapshot()))
            )
        END AS next_id
FROM (
    SELECT CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery
) AS server
JOIN (
    SELECT
        CAST(pg_class.relpersistence AS TEXT) AS persistence,
        pg_sequence.seqcache AS cache,
        CASE
            WHEN (
                has_sequence_privilege(pg_sequence.seqrelid, 'SELECT')
                    AND CAST(pg_class.relpersistence AS TEXT) = 'p'
            )
                THEN coalesce(pg_sequence_last_value(pg_sequence.seqrelid), -1)
            END AS drawn
    FROM pg_catalog.pg_class
    LEFT JOIN pg_catalog.pg_sequence
        ON pg_sequence.seqrelid = (
            SELECT to_regclass(pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position')) AS sequence
        )
    WHERE pg_class.oid = to_regclass(%(name_of_es_events)b::TEXT)
) AS state
    ON true
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
    ON true
JOIN (
    SELECT array_agg(known_event.position) AS positions, array_agg(known_event.event_id) AS ids
    FROM unnest(%(positions)b::BIGINT[]) AS asked(position)
    JOIN LATERAL (
        SELECT event.position, event.event_id
        FROM es_events AS event
        WHERE event.position = asked.position
        LIMIT 1
    ) AS known_event
        ON true
) AS known
    ON true
JOIN LATERAL (
    SELECT
        array_agg(pg_locks.virtualtransaction) AS appenders,
        bool_or(pg_locks.pid = pg_backend_pid()) AS own
    FROM pg_catalog.pg_locks
    WHERE (
        coalesce(newest.position, 0) > %(settled)b::BIGINT
            OR %(settled)b::BIGINT > 0
            AND NOT coalesce(%(settled_id)b::UUID = any(known.ids), false)
    )
        AND pg_locks.locktype = 'relation'
        AND pg_locks.database = (
            SELECT pg_database.oid
            FROM pg_catalog.pg_database
            WHERE pg_database.datname = current_database()
        )
        AND pg_locks.relation = to_regclass(%(name_of_es_events)b::TEXT)
        AND pg_locks.mode = 'RowExclusiveLock'
        AND pg_locks.granted
) AS holders
    ON true;

-- postgresql.read_page.read_matching((('event_types',),))
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    (
        SELECT CAST(
            jsonb_build_array(
                part.first_position, part.last_position, part.name, part.location, part.sha256
            ) AS TEXT
        ) AS part
        FROM es_detached_parts AS part
        WHERE part.events > 0
            AND part.last_position > %(after_position)b::BIGINT
            AND part.first_position + 0 <= %(up_to_position)b::BIGINT
        ORDER BY part.last_position
        LIMIT 1
    ) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(event_types_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.event_type, candidate.position) > (
                    filter_0.value, %(after_position_0)b::BIGINT
                )
                    AND (candidate.event_type, candidate.position) <= (
                        filter_0.value, %(up_to_position)b::BIGINT
                    )
                    AND candidate.position > %(after_position_0)b::BIGINT
                    AND candidate.position <= %(up_to_position)b::BIGINT
                ORDER BY candidate.event_type, candidate.position
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
            AND event.position > %(after_position)b::BIGINT
            AND event.position <= %(up_to_position)b::BIGINT
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

-- postgresql.read_page.read_matching((('stream_ids',),), backwards=True)
-- with name_of_es_events = 'es_events'
SELECT
    CAST(0 AS BIGINT) AS position,
    (
        SELECT CAST(
            jsonb_build_array(
                part.first_position, part.last_position, part.name, part.location, part.sha256
            ) AS TEXT
        ) AS part
        FROM es_detached_parts AS part
        WHERE part.events > 0
            AND part.last_position > %(after_position)b::BIGINT
            AND part.first_position + 0 <= %(up_to_position)b::BIGINT
        ORDER BY part.last_position
        LIMIT 1
    ) AS stream_id,
    CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS version,
    (
        SELECT settled.event_id
        FROM es_events AS settled
        WHERE settled.position = %(settled_position)b::BIGINT
    ) AS event_id,
    CAST(
        (
            SELECT token.event_id
            FROM es_events AS token
            WHERE token.position = %(token_position)b::BIGINT
        ) AS TEXT
    ) AS event_type,
    CAST(pg_is_in_recovery() AS INTEGER) AS schema_version,
    CAST(NULL AS SMALLINT) AS codec,
    CAST(NULL AS BYTEA) AS data,
    CAST(NULL AS TEXT) AS metadata,
    pg_postmaster_start_time() AS recorded_at
UNION ALL
SELECT page.*
FROM (
    SELECT event.*
    FROM (
        SELECT matches.position
        FROM (
            SELECT match_0.position
            FROM unnest(%(stream_ids_0)b::TEXT[]) AS filter_0(value)
            JOIN LATERAL (
                SELECT candidate.position
                FROM es_events AS candidate
                WHERE (candidate.stream_id, candidate.version) > (
                    filter_0.value,
                    (
                        WITH RECURSIVE search(low, high) AS (
                            SELECT
                                CAST(0 AS BIGINT) AS low,
                                (
                                    SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                    FROM es_events AS newest
                                    WHERE newest.stream_id = filter_0.value
                                        AND newest.position > (
                                            SELECT coalesce(
                                                (
                                                    SELECT head.after_position
                                                    FROM es_streams AS head
                                                    WHERE head.stream_id = filter_0.value
                                                ),
                                                CAST(0 AS BIGINT)
                                            ) AS after_position
                                        )
                                ) AS high
                            UNION ALL
                            SELECT
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN probe.version
                                    ELSE search.low
                                    END AS low,
                                CASE
                                    WHEN probe.position <= %(after_position_0)b::BIGINT
                                        THEN search.high
                                    ELSE (search.low + search.high + 1) / 2 - 1
                                    END AS high
                            FROM search
                            JOIN LATERAL (
                                SELECT event.version, event.position
                                FROM es_events AS event
                                WHERE (event.stream_id, event.version) >= (
                                    filter_0.value, (search.low + search.high + 1) / 2
                                )
                                    AND event.position > (
                                        SELECT coalesce(
                                            (
                                                SELECT head.after_position
                                                FROM es_streams AS head
                                                WHERE head.stream_id = filter_0.value
                                            ),
                                            CAST(0 AS BIGINT)
                                        ) AS after_position
                                    )
                                ORDER BY event.stream_id, event.version
                                LIMIT 1
                            ) AS probe
                                ON true
                            WHERE search.low < search.high
                        )
                        SELECT search.low
                        FROM search
                        WHERE search.low = search.high
                    )
                )
                    AND (candidate.stream_id, candidate.version) <= (
                        filter_0.value,
                        (
                            WITH RECURSIVE search(low, high) AS (
                                SELECT
                                    CAST(0 AS BIGINT) AS low,
                                    (
                                        SELECT coalesce(max(newest.version), CAST(0 AS BIGINT)) AS version
                                        FROM es_events AS newest
                                        WHERE newest.stream_id = filter_0.value
                                            AND newest.position > (
                                                SELECT coalesce(
                                                    (
                                                        SELECT head.after_position
                                                        FROM es_streams AS head
                                                        WHERE head.stream_id = filter_0.value
                                                    ),
                                                    CAST(0 AS BIGINT)
                                                ) AS after_position
                                            )
                                    ) AS high
                                UNION ALL
                                SELECT
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN probe.version
                                        ELSE search.low
                                        END AS low,
                                    CASE
                                        WHEN probe.position <= %(up_to_position)b::BIGINT
                                            THEN search.high
                                        ELSE (search.low + search.high + 1) / 2 - 1
                                        END AS high
                                FROM search
                                JOIN LATERAL (
                                    SELECT event.version, event.position
                                    FROM es_events AS event
                                    WHERE (event.stream_id, event.version) >= (
                                        filter_0.value, (search.low + search.high + 1) / 2
                                    )
                                        AND event.position > (
                                            SELECT coalesce(
                                                (
                                                    SELECT head.after_position
                                                    FROM es_streams AS head
                                                    WHERE head.stream_id = filter_0.value
                                                ),
                                                CAST(0 AS BIGINT)
                                            ) AS after_position
                                        )
                                    ORDER BY event.stream_id, event.version
                                    LIMIT 1
                                ) AS probe
                                    ON true
                                WHERE search.low < search.high
                            )
                            SELECT search.low
                            FROM search
                            WHERE search.low = search.high
                        )
                    )
                    AND candidate.position > %(after_position_0)b::BIGINT
                    AND candidate.position <= %(up_to_position)b::BIGINT
                    AND candidate.position > (
                        SELECT coalesce(
                            (
                                SELECT head.after_position
                                FROM es_streams AS head
                                WHERE head.stream_id = filter_0.value
                            ),
                            CAST(0 AS BIGINT)
                        ) AS after_position
                    )
                ORDER BY candidate.stream_id DESC, candidate.version DESC
                LIMIT %(page_size)b::BIGINT
            ) AS match_0
                ON true
        ) AS matches
        ORDER BY matches.position DESC
        LIMIT %(page_size)b::BIGINT
    ) AS page
    JOIN LATERAL (
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
        WHERE event.position = page.position
            AND event.position > %(after_position)b::BIGINT
            AND event.position <= %(up_to_position)b::BIGINT
        LIMIT 1
    ) AS event
        ON true
    ORDER BY page.position
) AS page
ORDER BY position;

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
WHERE es_events.stream_id = %(stream_id)b::TEXT COLLATE "C"
    AND es_events.version > %(after_version)b::BIGINT
    AND es_events.version <= %(up_to_version)b::BIGINT
    AND es_events.position > coalesce(
        (
            SELECT es_streams.after_position
            FROM es_streams
            WHERE es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C"
        ),
        0
    )
ORDER BY es_events.version
LIMIT %(page_size)b::BIGINT;


-- ======== with schema="Shop"

-- postgresql.append_one.append_one(Expectation.VERSION)
WITH head AS (
    UPDATE "Shop".es_streams
    SET version=("Shop".es_streams.version + %(count)b::BIGINT), updated_at=statement_timestamp()
    WHERE "Shop".es_streams.stream_id = %(stream_id)b::TEXT COLLATE "C"
        AND "Shop".es_streams.deleted_version IS NULL
        AND "Shop".es_streams.archived_version IS NULL
        AND "Shop".es_streams.version = %(expected)b::BIGINT
    RETURNING "Shop".es_streams.version
)
INSERT INTO "Shop".es_events (stream_id, version, event_id, event_type, schema_version, codec, data, metadata)
SELECT
    %(stream_id)b::TEXT AS stream_id,
    CAST(head.version AS BIGINT) AS version,
    %(event_id)b::UUID AS event_id,
    %(event_type)b::TEXT AS event_type,
    %(schema_version)b::INTEGER AS schema_version,
    %(codec)b::SMALLINT AS codec,
    %(data)b AS data,
    CAST(%(metadata)b::TEXT AS JSONB) AS metadata
FROM head
RETURNING "Shop".es_events.version, "Shop".es_events.position;

-- postgresql.copy.copy_events(('stream_id', 'version', 'event_id', 'event_type', 'schema_version', 'codec', 'data', 'metadata'))
COPY "Shop".es_events (
    stream_id, version, event_id, event_type, schema_version, codec, data, metadata
)
FROM STDIN (FORMAT BINARY);

-- postgresql.log_view.log_view
-- with name_of_es_events = '"Shop".es_events'
SELECT
    newest.position,
    newest.event_id,
    newest.stream_id,
    newest.version,
    known.positions,
    known.ids,
    (
        coalesce(newest.position, 0) > %(settled)b::BIGINT
            OR %(settled)b::BIGINT > 0
            AND NOT coalesce(%(settled_id)b::UUID = any(known.ids), false)
    ) AS has_read_locks,
    holders.appenders,
    holders.own,
    current_setting('transaction_isolation') AS isolation_level,
    server.es_events,
    server.started_at,
    server.in_recovery,
    state.persistence,
    state.cache,
    state.drawn,
    CASE
        WHEN server.in_recovery
            THEN CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)
        END AS oldest,
    CASE
        WHEN server.in_recovery
            THEN CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) + age(
                xid(pg_snapshot_xmin(pg_current_snapshot()))
            )
        END AS next_id
FROM (
    SELECT CAST(CAST(to_regclass(%(name_of_es_events)b::TEXT) AS OID) AS BIGINT) AS es_events,
    pg_postmaster_start_time() AS started_at,
    pg_is_in_recovery() AS in_recovery
) AS server
JOIN (
    SELECT
        CAST(pg_class.relpersistence AS TEXT) AS persistence,
        pg_sequence.seqcache AS cache,
        CASE
            WHEN (
                has_sequence_privilege(pg_sequence.seqrelid, 'SELECT')
                    AND CAST(pg_class.relpersistence AS TEXT) = 'p'
            )
                THEN coalesce(pg_sequence_last_value(pg_sequence.seqrelid), -1)
            END AS drawn
    FROM pg_catalog.pg_class
    LEFT JOIN pg_catalog.pg_sequence
        ON pg_sequence.seqrelid = (
            SELECT to_regclass(pg_get_serial_sequence(%(name_of_es_events)b::TEXT, 'position')) AS sequence
        )
    WHERE pg_class.oid = to_regclass(%(name_of_es_events)b::TEXT)
) AS state
    ON true
LEFT JOIN (
    SELECT
        newest_event.position,
        newest_event.event_id,
        newest_event.stream_id,
        newest_event.version
    FROM "Shop".es_events AS newest_event
    ORDER BY newest_event.position DESC
    LIMIT 1
) AS newest
    ON true
JOIN (
    SELECT array_agg(known_event.position) AS positions, array_agg(known_event.event_id) AS ids
    FROM "Shop".es_events AS known_event
    WHERE known_event.position = any(%(positions)b::BIGINT[])
) AS known
    ON true
JOIN LATERAL (
    SELECT
        array_agg(pg_locks.virtualtransaction) AS appenders,
        bool_or(pg_locks.pid = pg_backend_pid()) AS own
    FROM pg_catalog.pg_locks
    WHERE (
        coalesce(newest.position, 0) > %(settled)b::BIGINT
            OR %(settled)b::BIGINT > 0
            AND NOT coalesce(%(settled_id)b::UUID = any(known.ids), false)
    )
        AND pg_locks.locktype = 'relation'
        AND pg_locks.database = (
            SELECT pg_database.oid
            FROM pg_catalog.pg_database
            WHERE pg_database.datname = current_database()
        )
        AND pg_locks.relation = to_regclass(%(name_of_es_events)b::TEXT)
        AND pg_locks.mode = 'RowExclusiveLock'
        AND pg_locks.granted
) AS holders
    ON true;
