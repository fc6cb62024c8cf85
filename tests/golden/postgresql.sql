DO $$BEGIN IF EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN (to_regclass('es_schema'), to_regclass('es_alembic_version')) AND n.nspname <> current_schema()) THEN RAISE USING MESSAGE = 'the tables of the event store are in another schema than the first one of search_path, where new tables would be created; name their schema (--schema), or put it first in search_path'; END IF; END$$;

BEGIN;

CREATE TABLE es_alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT es_alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> es_0001

CREATE TABLE es_streams (
    version BIGINT NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    stream_id TEXT COLLATE "C" NOT NULL, 
    category TEXT COLLATE "C" GENERATED ALWAYS AS (split_part(stream_id, '-', 1)) STORED NOT NULL, 
    CONSTRAINT es_streams_pkey PRIMARY KEY (stream_id), 
    CONSTRAINT es_streams_version_check CHECK (version >= 0)
);

COMMENT ON TABLE es_streams IS 'One row a stream: its current version';

COMMENT ON COLUMN es_streams.version IS 'The version of its newest event: the head that writers lock';

COMMENT ON COLUMN es_streams.created_at IS 'When its first event was stored';

COMMENT ON COLUMN es_streams.updated_at IS 'When its newest event was stored';

COMMENT ON COLUMN es_streams.stream_id IS 'Such as order-42; 1 to 255 characters';

COMMENT ON COLUMN es_streams.category IS 'The part of stream_id before the first hyphen';

ALTER TABLE es_streams SET (fillfactor = 80);

CREATE TABLE es_events (
    position BIGINT GENERATED ALWAYS AS IDENTITY (CACHE 1), 
    version BIGINT NOT NULL, 
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    event_id UUID NOT NULL, 
    schema_version INTEGER NOT NULL, 
    codec SMALLINT NOT NULL, 
    stream_id TEXT COLLATE "C" NOT NULL, 
    category TEXT COLLATE "C" GENERATED ALWAYS AS (split_part(stream_id, '-', 1)) STORED NOT NULL, 
    event_type TEXT COLLATE "C" NOT NULL, 
    data BYTEA NOT NULL, 
    metadata JSONB, 
    CONSTRAINT es_events_pkey PRIMARY KEY (stream_id, version), 
    CONSTRAINT es_events_position_key UNIQUE (position), 
    CONSTRAINT es_events_stream_id_fkey FOREIGN KEY(stream_id) REFERENCES es_streams (stream_id), 
    CONSTRAINT es_events_version_check CHECK (version >= 1), 
    CONSTRAINT es_events_schema_version_check CHECK (schema_version >= 1)
);

COMMENT ON TABLE es_events IS 'The events. Rows are added, never changed';

COMMENT ON COLUMN es_events.position IS 'Place in the global order of all events; ascending, with holes';

COMMENT ON COLUMN es_events.version IS 'Place in the stream: 1, 2, 3, ...';

COMMENT ON COLUMN es_events.recorded_at IS 'When the event was stored, by this database''s clock';

COMMENT ON COLUMN es_events.event_id IS 'Given by the writer; makes a repeated append recognisable';

COMMENT ON COLUMN es_events.schema_version IS 'Version of the shape of the data';

COMMENT ON COLUMN es_events.codec IS 'How data is encoded: codec number, plus 256 where compressed with zstd';

COMMENT ON COLUMN es_events.stream_id IS 'The stream that the event belongs to';

COMMENT ON COLUMN es_events.category IS 'The part of stream_id before the first hyphen';

COMMENT ON COLUMN es_events.event_type IS 'What happened, such as order-placed';

COMMENT ON COLUMN es_events.data IS 'The payload, encoded';

COMMENT ON COLUMN es_events.metadata IS 'Who, why, in which request; NULL where none was given';

CREATE TABLE snapshots (
    version BIGINT NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    schema_version INTEGER NOT NULL, 
    codec SMALLINT NOT NULL, 
    stream_id TEXT COLLATE "C" NOT NULL, 
    state BYTEA NOT NULL, 
    CONSTRAINT snapshots_pkey PRIMARY KEY (stream_id, schema_version)
);

COMMENT ON TABLE snapshots IS 'The newest saved state of a stream: a cache, safe to delete';

COMMENT ON COLUMN snapshots.version IS 'Version of the stream that the state was computed at';

COMMENT ON COLUMN snapshots.created_at IS 'When the state was saved';

COMMENT ON COLUMN snapshots.schema_version IS 'Version of the shape of the state';

COMMENT ON COLUMN snapshots.codec IS 'How state is encoded: codec number, plus 256 where compressed with zstd';

COMMENT ON COLUMN snapshots.stream_id IS 'The stream whose state this is';

COMMENT ON COLUMN snapshots.state IS 'The state, encoded';

CREATE TABLE es_schema (
    id SMALLINT NOT NULL, 
    version INTEGER NOT NULL, 
    breaking_version INTEGER NOT NULL, 
    CONSTRAINT es_schema_pkey PRIMARY KEY (id), 
    CONSTRAINT es_schema_id_check CHECK (id = 1)
);

COMMENT ON TABLE es_schema IS 'One row: which version of the event store''s tables this is';

COMMENT ON COLUMN es_schema.id IS 'Always 1';

COMMENT ON COLUMN es_schema.version IS 'Version of these tables';

COMMENT ON COLUMN es_schema.breaking_version IS 'Newest version that code must know to work with these tables';

INSERT INTO es_schema (id, version, breaking_version) VALUES (1, 1, 1);

INSERT INTO es_alembic_version (version_num) VALUES ('es_0001') RETURNING es_alembic_version.version_num;

COMMIT;

BEGIN;

-- Running upgrade es_0001 -> es_0002

COMMIT;

SET lock_timeout = '0';

SET statement_timeout = '0';

CREATE INDEX CONCURRENTLY IF NOT EXISTS es_events_event_type_position_idx ON es_events USING btree (event_type, position);

DO $$BEGIN IF EXISTS (SELECT FROM pg_index WHERE indexrelid = 'es_events_event_type_position_idx'::regclass AND NOT indisvalid) THEN RAISE USING MESSAGE = 'a failed build has left es_events_event_type_position_idx invalid; DROP INDEX CONCURRENTLY es_events_event_type_position_idx, and build it again'; END IF; END$$;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '0';

SET statement_timeout = '0';

CREATE INDEX CONCURRENTLY IF NOT EXISTS es_events_category_position_idx ON es_events USING btree (category, position);

DO $$BEGIN IF EXISTS (SELECT FROM pg_index WHERE indexrelid = 'es_events_category_position_idx'::regclass AND NOT indisvalid) THEN RAISE USING MESSAGE = 'a failed build has left es_events_category_position_idx invalid; DROP INDEX CONCURRENTLY es_events_category_position_idx, and build it again'; END IF; END$$;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '0';

SET statement_timeout = '0';

CREATE INDEX CONCURRENTLY IF NOT EXISTS es_events_recorded_at_idx ON es_events USING brin (recorded_at) WITH (autosummarize = on);

DO $$BEGIN IF EXISTS (SELECT FROM pg_index WHERE indexrelid = 'es_events_recorded_at_idx'::regclass AND NOT indisvalid) THEN RAISE USING MESSAGE = 'a failed build has left es_events_recorded_at_idx invalid; DROP INDEX CONCURRENTLY es_events_recorded_at_idx, and build it again'; END IF; END$$;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

UPDATE es_schema SET version = 2;

UPDATE es_alembic_version SET version_num='es_0002' WHERE es_alembic_version.version_num = 'es_0001';

COMMIT;

BEGIN;

-- Running upgrade es_0002 -> es_0003

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_streams ADD CONSTRAINT es_streams_stream_id_check CHECK (length(stream_id) BETWEEN 1 AND 255) NOT VALID;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_events ADD CONSTRAINT es_events_position_check CHECK (position >= 1) NOT VALID;

ALTER TABLE es_events ADD CONSTRAINT es_events_codec_check CHECK (codec >= 0) NOT VALID;

ALTER TABLE es_events ADD CONSTRAINT es_events_event_type_check CHECK (length(event_type) BETWEEN 1 AND 255) NOT VALID;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE snapshots ADD CONSTRAINT snapshots_stream_id_fkey FOREIGN KEY(stream_id) REFERENCES es_streams (stream_id) NOT VALID;

ALTER TABLE snapshots ADD CONSTRAINT snapshots_version_check CHECK (version >= 1) NOT VALID;

ALTER TABLE snapshots ADD CONSTRAINT snapshots_schema_version_check CHECK (schema_version >= 1) NOT VALID;

ALTER TABLE snapshots ADD CONSTRAINT snapshots_codec_check CHECK (codec >= 0) NOT VALID;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

UPDATE es_schema SET version = 3;

UPDATE es_alembic_version SET version_num='es_0003' WHERE es_alembic_version.version_num = 'es_0002';

COMMIT;

BEGIN;

-- Running upgrade es_0003 -> es_0004

COMMIT;

SET lock_timeout = '0';

SET statement_timeout = '0';

ALTER TABLE es_streams VALIDATE CONSTRAINT es_streams_stream_id_check;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '0';

SET statement_timeout = '0';

ALTER TABLE es_events VALIDATE CONSTRAINT es_events_position_check;

ALTER TABLE es_events VALIDATE CONSTRAINT es_events_codec_check;

ALTER TABLE es_events VALIDATE CONSTRAINT es_events_event_type_check;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '0';

SET statement_timeout = '0';

ALTER TABLE snapshots VALIDATE CONSTRAINT snapshots_stream_id_fkey;

ALTER TABLE snapshots VALIDATE CONSTRAINT snapshots_version_check;

ALTER TABLE snapshots VALIDATE CONSTRAINT snapshots_schema_version_check;

ALTER TABLE snapshots VALIDATE CONSTRAINT snapshots_codec_check;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

UPDATE es_schema SET version = 4;

UPDATE es_alembic_version SET version_num='es_0004' WHERE es_alembic_version.version_num = 'es_0003';

COMMIT;

BEGIN;

-- Running upgrade es_0004 -> es_0005

CREATE TABLE es_checkpoints (
    position BIGINT NOT NULL, 
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    seen_at TIMESTAMP WITH TIME ZONE, 
    failed_at TIMESTAMP WITH TIME ZONE, 
    name TEXT COLLATE "C" NOT NULL, 
    worker TEXT, 
    failure TEXT, 
    CONSTRAINT es_checkpoints_pkey PRIMARY KEY (name), 
    CONSTRAINT es_checkpoints_position_check CHECK (position >= 0), 
    CONSTRAINT es_checkpoints_name_check CHECK (length(name) BETWEEN 1 AND 255)
);

COMMENT ON TABLE es_checkpoints IS 'One row a projection: how far it has come';

COMMENT ON COLUMN es_checkpoints.position IS 'Everything up to here has been handled';

COMMENT ON COLUMN es_checkpoints.updated_at IS 'When it last came forward';

COMMENT ON COLUMN es_checkpoints.seen_at IS 'When a worker was last seen at work; NULL where the last one has stopped';

COMMENT ON COLUMN es_checkpoints.failed_at IS 'When an event last failed; NULL once it has gone on';

COMMENT ON COLUMN es_checkpoints.name IS 'The name of the projection; 1 to 255 characters';

COMMENT ON COLUMN es_checkpoints.worker IS 'Who was last seen at work: host and process';

COMMENT ON COLUMN es_checkpoints.failure IS 'The event that failed and the type of the error, no payload';

ALTER TABLE es_checkpoints SET (fillfactor = 50);

CREATE TABLE es_dead_letters (
    position BIGINT NOT NULL, 
    version BIGINT NOT NULL, 
    first_failed_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    last_failed_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    closed_at TIMESTAMP WITH TIME ZONE, 
    attempts INTEGER NOT NULL, 
    event_id UUID NOT NULL, 
    projection TEXT COLLATE "C" NOT NULL, 
    status TEXT COLLATE "C" NOT NULL, 
    stream_id TEXT COLLATE "C" NOT NULL, 
    event_type TEXT COLLATE "C" NOT NULL, 
    error TEXT, 
    note TEXT, 
    CONSTRAINT es_dead_letters_pkey PRIMARY KEY (projection, position), 
    CONSTRAINT es_dead_letters_projection_fkey FOREIGN KEY(projection) REFERENCES es_checkpoints (name) ON DELETE CASCADE ON UPDATE CASCADE, 
    CONSTRAINT es_dead_letters_attempts_check CHECK (attempts >= 0), 
    CONSTRAINT es_dead_letters_status_check CHECK (status IN ('pending', 'resolved', 'discarded'))
);

COMMENT ON TABLE es_dead_letters IS 'Events that a projection could not handle, and those of the same streams that follow them';

COMMENT ON COLUMN es_dead_letters.position IS 'Of the event';

COMMENT ON COLUMN es_dead_letters.version IS 'Of the event, in its stream';

COMMENT ON COLUMN es_dead_letters.first_failed_at IS 'When it was put here';

COMMENT ON COLUMN es_dead_letters.last_failed_at IS 'When it was last tried in vain';

COMMENT ON COLUMN es_dead_letters.closed_at IS 'When it was resolved or discarded';

COMMENT ON COLUMN es_dead_letters.attempts IS 'How often it was tried; 0 where it only follows';

COMMENT ON COLUMN es_dead_letters.event_id IS 'Of the event';

COMMENT ON COLUMN es_dead_letters.projection IS 'The projection that could not handle it';

COMMENT ON COLUMN es_dead_letters.status IS 'pending, resolved or discarded';

COMMENT ON COLUMN es_dead_letters.stream_id IS 'The stream: its later events follow, in order';

COMMENT ON COLUMN es_dead_letters.event_type IS 'Of the event';

COMMENT ON COLUMN es_dead_letters.error IS 'The type of the error, no payload; NULL where it only follows';

COMMENT ON COLUMN es_dead_letters.note IS 'What somebody has said about it';

CREATE INDEX es_dead_letters_pending_idx ON es_dead_letters (projection, stream_id, position) WHERE status = 'pending';

UPDATE es_schema SET version = 5;

UPDATE es_alembic_version SET version_num='es_0005' WHERE es_alembic_version.version_num = 'es_0004';

COMMIT;

BEGIN;

-- Running upgrade es_0005 -> es_0006

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

CREATE OR REPLACE FUNCTION es_refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE restrict_violation USING
        MESSAGE = 'events are never changed: ' || TG_OP || ' of ' || TG_TABLE_NAME || ' was refused',
        HINT = 'If you mean it, first SET LOCAL eventstore.allow_history_changes = ''on'', in the same transaction.',
        CONSTRAINT = 'es_events_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END
$$;

CREATE OR REPLACE TRIGGER es_events_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON es_events FOR EACH STATEMENT WHEN (current_setting('eventstore.allow_history_changes', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION es_refuse_history_change();

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_streams ADD COLUMN IF NOT EXISTS deleted_version BIGINT;

COMMENT ON COLUMN es_streams.deleted_version IS 'Version of the event that says it was deleted, its last; NULL where it was not';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_streams ADD COLUMN IF NOT EXISTS archived_version BIGINT;

COMMENT ON COLUMN es_streams.archived_version IS 'The same, of being archived';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_streams ADD CONSTRAINT es_streams_deleted_version_check CHECK (version = deleted_version) NOT VALID;

ALTER TABLE es_streams ADD CONSTRAINT es_streams_archived_version_check CHECK (version = archived_version) NOT VALID;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '0';

SET statement_timeout = '0';

ALTER TABLE es_streams VALIDATE CONSTRAINT es_streams_deleted_version_check;

ALTER TABLE es_streams VALIDATE CONSTRAINT es_streams_archived_version_check;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

UPDATE es_schema SET version = 6;

UPDATE es_alembic_version SET version_num='es_0006' WHERE es_alembic_version.version_num = 'es_0005';

COMMIT;

BEGIN;

-- Running upgrade es_0006 -> es_0007

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS event_position BIGINT;

COMMENT ON COLUMN es_checkpoints.event_position IS 'Position of an event at or before `position` when it was written; NULL if not known';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS event_id UUID;

COMMENT ON COLUMN es_checkpoints.event_id IS 'Id of that event';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS event_stream_id TEXT COLLATE "C";

COMMENT ON COLUMN es_checkpoints.event_stream_id IS 'Stream of that event';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS event_version BIGINT;

COMMENT ON COLUMN es_checkpoints.event_version IS 'Version of that event';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

UPDATE es_schema SET version = 7;

UPDATE es_alembic_version SET version_num='es_0007' WHERE es_alembic_version.version_num = 'es_0006';

COMMIT;

BEGIN;

-- Running upgrade es_0007 -> es_0008

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_streams DROP CONSTRAINT IF EXISTS es_streams_stream_id_check, DROP CONSTRAINT IF EXISTS es_streams_archived_version_check, DROP CONSTRAINT IF EXISTS es_streams_deleted_version_check, ADD CONSTRAINT es_streams_deleted_version_check CHECK (version = coalesce(deleted_version, archived_version)) NOT VALID;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '0';

SET statement_timeout = '0';

ALTER TABLE es_streams VALIDATE CONSTRAINT es_streams_deleted_version_check;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_events DROP CONSTRAINT IF EXISTS es_events_schema_version_check, DROP CONSTRAINT IF EXISTS es_events_position_check, DROP CONSTRAINT IF EXISTS es_events_codec_check, DROP CONSTRAINT IF EXISTS es_events_event_type_check;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

UPDATE es_schema SET version = 8;

UPDATE es_alembic_version SET version_num='es_0008' WHERE es_alembic_version.version_num = 'es_0007';

COMMIT;

BEGIN;

-- Running upgrade es_0008 -> es_0009

CREATE TABLE es_event_tags (
    position BIGINT NOT NULL, 
    tag TEXT COLLATE "C" NOT NULL, 
    event_type TEXT COLLATE "C" NOT NULL
);

COMMENT ON TABLE es_event_tags IS 'The tags of events, which their metadata has, too';

COMMENT ON COLUMN es_event_tags.position IS 'Of the event';

COMMENT ON COLUMN es_event_tags.tag IS 'Such as course:c1; empty in the rows of generations';

COMMENT ON COLUMN es_event_tags.event_type IS 'Of the event';

ALTER TABLE es_event_tags ADD CONSTRAINT es_event_tags_pkey PRIMARY KEY (tag, position) INCLUDE (event_type);

UPDATE es_schema SET version = 9;

UPDATE es_alembic_version SET version_num='es_0009' WHERE es_alembic_version.version_num = 'es_0008';

COMMIT;

BEGIN;

-- Running upgrade es_0009 -> es_0010

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_streams ADD COLUMN IF NOT EXISTS after_position BIGINT DEFAULT 0 NOT NULL;

COMMENT ON COLUMN es_streams.after_position IS 'A position below those of all its events, so that older parts of the log are not searched';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

DO $$BEGIN 
            DECLARE
                sequence text := pg_get_serial_sequence('es_events', 'position');
                grantee text;
            BEGIN
                EXECUTE 'ALTER TABLE es_streams ALTER COLUMN after_position SET DEFAULT '
                    || 'coalesce(pg_sequence_last_value(' || quote_literal(sequence) || '::regclass), 0)';
                FOR grantee IN
                    SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END
                    FROM (
                        SELECT relowner, relacl FROM pg_class WHERE oid = 'es_streams'::regclass
                        UNION ALL SELECT NULL, attacl FROM pg_attribute WHERE attrelid = 'es_streams'::regclass
                    ) AS acls CROSS JOIN aclexplode(acls.relacl) AS a LEFT JOIN pg_roles r ON r.oid = a.grantee
                    WHERE a.privilege_type = 'INSERT' AND a.grantee IS DISTINCT FROM acls.relowner
                        AND (a.grantee = 0 OR r.oid IS NOT NULL)
                LOOP
                    EXECUTE 'GRANT SELECT ON SEQUENCE ' || sequence || ' TO ' || grantee;
                END LOOP;
            END
        ; END$$;

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

UPDATE es_schema SET version = 10;

UPDATE es_alembic_version SET version_num='es_0010' WHERE es_alembic_version.version_num = 'es_0009';

COMMIT;

BEGIN;

-- Running upgrade es_0010 -> es_0011

CREATE TABLE es_detached_parts (
    first_position BIGINT NOT NULL, 
    last_position BIGINT NOT NULL, 
    events BIGINT NOT NULL, 
    detached_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
    name TEXT NOT NULL, 
    location TEXT, 
    sha256 TEXT, 
    CONSTRAINT es_detached_parts_pkey PRIMARY KEY (first_position), 
    CONSTRAINT es_detached_parts_last_position_check CHECK (first_position <= last_position)
);

COMMENT ON TABLE es_detached_parts IS 'Parts of es_events that were detached: the events in them are not here any more';

COMMENT ON COLUMN es_detached_parts.first_position IS 'The lowest that it can have';

COMMENT ON COLUMN es_detached_parts.last_position IS 'The highest that it can have';

COMMENT ON COLUMN es_detached_parts.events IS 'How many events it had';

COMMENT ON COLUMN es_detached_parts.detached_at IS 'When it was detached';

COMMENT ON COLUMN es_detached_parts.name IS 'The name of the table that was the part';

COMMENT ON COLUMN es_detached_parts.location IS 'Where it was exported to; NULL if nowhere';

COMMENT ON COLUMN es_detached_parts.sha256 IS 'The SHA-256 of the manifest of the export; NULL if there is none';

UPDATE es_schema SET version = 11;

UPDATE es_alembic_version SET version_num='es_0011' WHERE es_alembic_version.version_num = 'es_0010';

COMMIT;

BEGIN;

-- Running upgrade es_0011 -> es_0012

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS started_after BIGINT DEFAULT 0 NOT NULL;

COMMENT ON COLUMN es_checkpoints.started_after IS 'The position after which the projection began';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS outside_after BIGINT;

COMMENT ON COLUMN es_checkpoints.outside_after IS 'Handlers with outside effects are called for later events only; NULL if it has none';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS partitions INTEGER DEFAULT 1 NOT NULL;

COMMENT ON COLUMN es_checkpoints.partitions IS 'How many partitions the projection has; if more than one, each has a row';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS next_partitions INTEGER;

COMMENT ON COLUMN es_checkpoints.next_partitions IS 'How many it will have, once all have reached `stop_position`; NULL if that does not change';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS stop_position BIGINT;

COMMENT ON COLUMN es_checkpoints.stop_position IS 'Where a partition waits until their number has changed';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS partition_number INTEGER;

COMMENT ON COLUMN es_checkpoints.partition_number IS 'Number of a partition, from 1; NULL in the row of a projection';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

COMMIT;

SET lock_timeout = '1000ms';

SET statement_timeout = '0';

ALTER TABLE es_checkpoints ADD COLUMN IF NOT EXISTS partition_of TEXT COLLATE "C";

COMMENT ON COLUMN es_checkpoints.partition_of IS 'The projection of a partition; NULL in the row of a projection';

RESET lock_timeout;

RESET statement_timeout;

BEGIN;

UPDATE es_schema SET version = 12;

UPDATE es_alembic_version SET version_num='es_0012' WHERE es_alembic_version.version_num = 'es_0011';

COMMIT;

