--
-- PostgreSQL database dump
--


-- Dumped from database version 18.6
-- Dumped by pg_dump version 18.6

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: es_alembic_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.es_alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: es_events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.es_events (
    "position" bigint NOT NULL,
    version bigint NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    event_id uuid NOT NULL,
    schema_version integer NOT NULL,
    codec smallint NOT NULL,
    stream_id text NOT NULL COLLATE pg_catalog."C",
    category text GENERATED ALWAYS AS (split_part(stream_id, '-'::text, 1)) STORED NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    data bytea NOT NULL,
    metadata jsonb,
    CONSTRAINT es_events_schema_version_check CHECK ((schema_version >= 1)),
    CONSTRAINT es_events_version_check CHECK ((version >= 1))
);


--
-- Name: TABLE es_events; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.es_events IS 'The events. Rows are added, never changed';


--
-- Name: COLUMN es_events."position"; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events."position" IS 'Place in the global order of all events; ascending, with holes';


--
-- Name: COLUMN es_events.version; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events.version IS 'Place in the stream: 1, 2, 3, ...';


--
-- Name: COLUMN es_events.recorded_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events.recorded_at IS 'When the event was stored, by this database''s clock';


--
-- Name: COLUMN es_events.event_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events.event_id IS 'Given by the writer; makes a repeated append recognisable';


--
-- Name: COLUMN es_events.schema_version; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events.schema_version IS 'Version of the shape of the data';


--
-- Name: COLUMN es_events.codec; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events.codec IS 'How data is encoded: codec number, plus 256 where compressed with zstd';


--
-- Name: COLUMN es_events.stream_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events.stream_id IS 'The stream that the event belongs to';


--
-- Name: COLUMN es_events.category; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events.category IS 'The part of stream_id before the first hyphen';


--
-- Name: COLUMN es_events.event_type; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events.event_type IS 'What happened, such as order-placed';


--
-- Name: COLUMN es_events.data; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events.data IS 'The payload, encoded';


--
-- Name: COLUMN es_events.metadata; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_events.metadata IS 'Who, why, in which request; NULL where none was given';


--
-- Name: es_events_position_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.es_events ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.es_events_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: es_schema; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.es_schema (
    id smallint NOT NULL,
    version integer NOT NULL,
    breaking_version integer NOT NULL,
    CONSTRAINT es_schema_id_check CHECK ((id = 1))
);


--
-- Name: TABLE es_schema; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.es_schema IS 'One row: which version of the event store''s tables this is';


--
-- Name: COLUMN es_schema.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_schema.id IS 'Always 1';


--
-- Name: COLUMN es_schema.version; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_schema.version IS 'Version of these tables';


--
-- Name: COLUMN es_schema.breaking_version; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_schema.breaking_version IS 'Newest version that code must know to work with these tables';


--
-- Name: es_streams; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.es_streams (
    version bigint NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    stream_id text NOT NULL COLLATE pg_catalog."C",
    category text GENERATED ALWAYS AS (split_part(stream_id, '-'::text, 1)) STORED NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT es_streams_version_check CHECK ((version >= 0))
)
WITH (fillfactor='80');


--
-- Name: TABLE es_streams; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.es_streams IS 'One row a stream: its current version';


--
-- Name: COLUMN es_streams.version; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_streams.version IS 'The version of its newest event: the head that writers lock';


--
-- Name: COLUMN es_streams.created_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_streams.created_at IS 'When its first event was stored';


--
-- Name: COLUMN es_streams.updated_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_streams.updated_at IS 'When its newest event was stored';


--
-- Name: COLUMN es_streams.stream_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_streams.stream_id IS 'Such as order-42; 1 to 255 characters';


--
-- Name: COLUMN es_streams.category; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.es_streams.category IS 'The part of stream_id before the first hyphen';


--
-- Name: snapshots; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.snapshots (
    version bigint NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    schema_version integer NOT NULL,
    codec smallint NOT NULL,
    stream_id text NOT NULL COLLATE pg_catalog."C",
    state bytea NOT NULL
);


--
-- Name: TABLE snapshots; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.snapshots IS 'The newest saved state of a stream: a cache, safe to delete';


--
-- Name: COLUMN snapshots.version; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.snapshots.version IS 'Version of the stream that the state was computed at';


--
-- Name: COLUMN snapshots.created_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.snapshots.created_at IS 'When the state was saved';


--
-- Name: COLUMN snapshots.schema_version; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.snapshots.schema_version IS 'Version of the shape of the state';


--
-- Name: COLUMN snapshots.codec; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.snapshots.codec IS 'How state is encoded: codec number, plus 256 where compressed with zstd';


--
-- Name: COLUMN snapshots.stream_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.snapshots.stream_id IS 'The stream whose state this is';


--
-- Name: COLUMN snapshots.state; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.snapshots.state IS 'The state, encoded';


--
-- Data for Name: es_alembic_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.es_alembic_version VALUES ('es_0001');


--
-- Data for Name: es_events; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (1, 1, '2026-11-25 17:38:32.09535+00', '00000000-0000-0000-0000-000000000007', 1, 1, 'golden-1', DEFAULT, 'placed', '\x82a5746f74616c1ea56c696e65739181a761727469636c65a3746561', '{"tags": ["a", 1, null], "user": "Ada"}');
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (2, 2, '2026-11-25 17:38:32.098597+00', '01a213c9-a61f-73b3-914d-1997463cf6eb', 1, 1, 'golden-1', DEFAULT, 'paid', '\x82a6616d6f756e74c7050533302e3130a26174c71901323032362d31312d32355431373a30303a30302b30303a3030', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (3, 1, '2026-11-25 17:38:32.099507+00', '01a213c9-a622-745b-945b-368723a9ed22', 1, 2, 'golden-ü 2', DEFAULT, 'noted', '\x7b2274657874223a22615c753030303062227d', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (4, 1, '2026-11-25 17:38:32.101165+00', '01a213c9-a623-7ba6-b0a7-7618aeaeaf06', 1, 1, 'golden', DEFAULT, 'counted', '\x82a66e756d62657200a474657874a0', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (5, 2, '2026-11-25 17:38:32.101177+00', '01a213c9-a623-71dc-a7b1-6c81bc74222a', 1, 1, 'golden', DEFAULT, 'counted', '\x82a66e756d62657201a474657874a474656120', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (6, 3, '2026-11-25 17:38:32.101181+00', '01a213c9-a623-7f87-8363-ab280a82b553', 1, 1, 'golden', DEFAULT, 'counted', '\x82a66e756d62657202a474657874a87465612074656120', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (7, 4, '2026-11-25 17:38:32.101184+00', '01a213c9-a623-79d2-9cfa-d084d553c86c', 1, 1, 'golden', DEFAULT, 'counted', '\x82a66e756d62657203a474657874ac746561207465612074656120', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (8, 5, '2026-11-25 17:38:32.101186+00', '01a213c9-a623-74cb-ad28-d26c7c8f9e38', 1, 1, 'golden', DEFAULT, 'counted', '\x82a66e756d62657204a474657874b074656120746561207465612074656120', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (9, 6, '2026-11-25 17:38:32.101188+00', '01a213c9-a623-7d3c-9c63-945852cf2170', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2023cd00009882a66e756d62657205a474657874b4746561200100475c18', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (10, 7, '2026-11-25 17:38:32.10119+00', '01a213c9-a623-7ed7-b2a5-8663532ecb63', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2027cd00009882a66e756d62657206a474657874b8746561200100a75d18', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (11, 8, '2026-11-25 17:38:32.101191+00', '01a213c9-a623-7113-b496-34bbe1121013', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd202bcd00009882a66e756d62657207a474657874bc746561200100075d18', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (12, 9, '2026-11-25 17:38:32.101193+00', '01a213c9-a623-78e1-af3d-7eebe4b4ef25', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2030cd00009882a66e756d62657208a474657874d9207465610100bf5d18', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (13, 10, '2026-11-25 17:38:32.101195+00', '01a213c9-a623-7123-9542-88a605cc5440', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2034d50000a082a66e756d62657209a474657874d924746561200100c61d13', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (14, 11, '2026-11-25 17:38:32.101197+00', '01a213c9-a623-72c7-aa64-4aab5b260197', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2038d50000a082a66e756d6265720aa474657874d9287465612001004e3a26', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (15, 12, '2026-11-25 17:38:32.101199+00', '01a213c9-a623-7186-a60e-c001fac09905', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd203cd50000a082a66e756d6265720ba474657874d92c7465612001005e3a26', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (16, 13, '2026-11-25 17:38:32.101201+00', '01a213c9-a623-7a78-b8c5-b1bfd42ffa8f', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2040d50000a082a66e756d6265720ca474657874d930746561200100da744c', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (17, 14, '2026-11-25 17:38:32.101203+00', '01a213c9-a623-7fd5-9dda-c981e450a45a', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2044d50000a082a66e756d6265720da474657874d9347465612001003a724c', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (18, 15, '2026-11-25 17:38:32.101204+00', '01a213c9-a623-7ee0-8109-86467e67e60e', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2048d50000a082a66e756d6265720ea474657874d938746561200100f2e998', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (19, 16, '2026-11-25 17:38:32.101206+00', '01a213c9-a623-709b-8c1b-6f38788e1218', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd204cd50000a082a66e756d6265720fa474657874d93c746561200100fae998', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (20, 17, '2026-11-25 17:38:32.101208+00', '01a213c9-a623-7775-8dd8-bf2725e6030c', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2050d50000a082a66e756d62657210a474657874d940746561200100b2e498', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (21, 18, '2026-11-25 17:38:32.10121+00', '01a213c9-a623-7e2f-a203-18f4d8e5b9da', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2054d50000a082a66e756d62657211a474657874d944746561200100bae498', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (22, 19, '2026-11-25 17:38:32.101212+00', '01a213c9-a623-7388-ad06-e2b713f5f8b0', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2058dd0000a082a66e756d62657212a474657874d94874656120010062d43101', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (23, 20, '2026-11-25 17:38:32.101214+00', '01a213c9-a623-7b33-8fa0-64d6d00fac16', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd205cdd0000a082a66e756d62657213a474657874d94c7465612001006ad43101', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (24, 21, '2026-11-25 17:38:32.101216+00', '01a213c9-a623-7f7c-b170-89b1178830f5', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2060dd0000a082a66e756d62657214a474657874d95074656120010072d43101', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (25, 22, '2026-11-25 17:38:32.101218+00', '01a213c9-a623-7dcb-83cd-f4db9c12e393', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2064dd0000a082a66e756d62657215a474657874d9547465612001007ad43101', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (26, 23, '2026-11-25 17:38:32.101219+00', '01a213c9-a623-7084-ba87-800bfae58673', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2068dd0000a082a66e756d62657216a474657874d958746561200100e2c93101', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (27, 24, '2026-11-25 17:38:32.101221+00', '01a213c9-a623-71c7-b413-35eb93e7bd6b', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd206cdd0000a082a66e756d62657217a474657874d95c746561200100eac93101', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (28, 25, '2026-11-25 17:38:32.101223+00', '01a213c9-a623-7fa4-9e04-427447f65097', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2070dd0000a082a66e756d62657218a474657874d960746561200100f2c93101', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (29, 26, '2026-11-25 17:38:32.101231+00', '01a213c9-a623-7c48-a0c9-861d2d808a7a', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2074dd0000a082a66e756d62657219a474657874d964746561200100fac93101', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (30, 27, '2026-11-25 17:38:32.101233+00', '01a213c9-a623-7a02-95f4-612fc9d7938a', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2078dd0000a082a66e756d6265721aa474657874d968746561200100c2a96302', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (31, 28, '2026-11-25 17:38:32.101235+00', '01a213c9-a623-74f1-abd9-34baad52ad9d', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd207cdd0000a082a66e756d6265721ba474657874d96c746561200100caa96302', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (32, 29, '2026-11-25 17:38:32.101237+00', '01a213c9-a623-712d-b539-ff90c37d4bb1', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2080dd0000a082a66e756d6265721ca474657874d970746561200100d2a96302', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (33, 30, '2026-11-25 17:38:32.101239+00', '01a213c9-a623-7245-8e2d-748d30a21af8', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2084dd0000a082a66e756d6265721da474657874d974746561200100daa96302', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (34, 31, '2026-11-25 17:38:32.101241+00', '01a213c9-a623-73b2-a30e-41705e258d33', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2088dd0000a082a66e756d6265721ea474657874d978746561200100e2a96302', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (35, 32, '2026-11-25 17:38:32.101243+00', '01a213c9-a623-7faa-b09e-b0213754ecc2', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd208cdd0000a082a66e756d6265721fa474657874d97c746561200100eaa96302', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (36, 33, '2026-11-25 17:38:32.101245+00', '01a213c9-a623-7428-82d4-7119c41cf3b2', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2090dd0000a082a66e756d62657220a474657874d980746561200100f2a96302', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (37, 34, '2026-11-25 17:38:32.101249+00', '01a213c9-a623-7ab2-9f96-06c081126d1e', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2094dd0000a082a66e756d62657221a474657874d984746561200100faa96302', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (38, 35, '2026-11-25 17:38:32.10125+00', '01a213c9-a623-733c-b87c-fcf7a1a5579d', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd2098dd0000a082a66e756d62657222a474657874d98874656120010002538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (39, 36, '2026-11-25 17:38:32.101252+00', '01a213c9-a623-7ead-b343-1c1f79f952f3', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd209cdd0000a082a66e756d62657223a474657874d98c7465612001000a538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (40, 37, '2026-11-25 17:38:32.101254+00', '01a213c9-a623-7ad0-a347-f3e5ad93ee45', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20a0dd0000a082a66e756d62657224a474657874d99074656120010012538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (41, 38, '2026-11-25 17:38:32.101256+00', '01a213c9-a623-7cb6-b521-5e0f5765b37f', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20a4dd0000a082a66e756d62657225a474657874d9947465612001001a538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (42, 39, '2026-11-25 17:38:32.101258+00', '01a213c9-a623-750e-b420-26595bfda294', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20a8dd0000a082a66e756d62657226a474657874d99874656120010022538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (43, 40, '2026-11-25 17:38:32.10126+00', '01a213c9-a623-7211-aff6-da3aba36ae67', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20acdd0000a082a66e756d62657227a474657874d99c7465612001002a538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (44, 41, '2026-11-25 17:38:32.101262+00', '01a213c9-a623-78cb-8d0c-3c40dad9588a', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20b0dd0000a082a66e756d62657228a474657874d9a074656120010032538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (45, 42, '2026-11-25 17:38:32.101263+00', '01a213c9-a623-7058-9734-cfd237f47589', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20b4dd0000a082a66e756d62657229a474657874d9a47465612001003a538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (46, 43, '2026-11-25 17:38:32.101265+00', '01a213c9-a623-76e0-a6ea-005ca9c6e27c', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20b8dd0000a082a66e756d6265722aa474657874d9a874656120010042538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (47, 44, '2026-11-25 17:38:32.101267+00', '01a213c9-a623-7482-8fce-2c1e40fa10c0', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20bcdd0000a082a66e756d6265722ba474657874d9ac7465612001004a538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (48, 45, '2026-11-25 17:38:32.101269+00', '01a213c9-a623-76cc-a1ef-6eb57d1d84a3', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20c0dd0000a082a66e756d6265722ca474657874d9b074656120010052538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (49, 46, '2026-11-25 17:38:32.101271+00', '01a213c9-a623-7af2-8f01-efc28faabaca', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20c4dd0000a082a66e756d6265722da474657874d9b47465612001005a538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (50, 47, '2026-11-25 17:38:32.101273+00', '01a213c9-a623-76c3-b20f-1128e47e6f99', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20c8dd0000a082a66e756d6265722ea474657874d9b874656120010062538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (51, 48, '2026-11-25 17:38:32.101275+00', '01a213c9-a623-7457-9920-9c2c2b8d0616', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20ccdd0000a082a66e756d6265722fa474657874d9bc7465612001006a538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (52, 49, '2026-11-25 17:38:32.101277+00', '01a213c9-a623-7d3f-8e92-2c74edbcdaec', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20d0dd0000a082a66e756d62657230a474657874d9c074656120010072538e09', NULL);
INSERT INTO public.es_events OVERRIDING SYSTEM VALUE VALUES (53, 50, '2026-11-25 17:38:32.101279+00', '01a213c9-a623-71a8-9ff4-2a079ed91b0a', 1, 257, 'golden', DEFAULT, 'counted', '\x28b52ffd20d4dd0000a082a66e756d62657231a474657874d9c47465612001007a538e09', NULL);


--
-- Data for Name: es_schema; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.es_schema VALUES (1, 1, 1);


--
-- Data for Name: es_streams; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.es_streams VALUES (2, '2026-11-25 17:38:32.09521+00', '2026-11-25 17:38:32.098571+00', 'golden-1', DEFAULT);
INSERT INTO public.es_streams VALUES (1, '2026-11-25 17:38:32.099481+00', '2026-11-25 17:38:32.099481+00', 'golden-ü 2', DEFAULT);
INSERT INTO public.es_streams VALUES (50, '2026-11-25 17:38:32.101143+00', '2026-11-25 17:38:32.101143+00', 'golden', DEFAULT);


--
-- Data for Name: snapshots; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.snapshots VALUES (40, '2026-11-25 17:38:32.102794+00', 2, 1, 'golden', '\x81a5746f74616cd40537');


--
-- Name: es_events_position_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.es_events_position_seq', 53, true);


--
-- Name: es_alembic_version es_alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.es_alembic_version
    ADD CONSTRAINT es_alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: es_events es_events_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.es_events
    ADD CONSTRAINT es_events_pkey PRIMARY KEY (stream_id, version);


--
-- Name: es_events es_events_position_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.es_events
    ADD CONSTRAINT es_events_position_key UNIQUE ("position");


--
-- Name: es_schema es_schema_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.es_schema
    ADD CONSTRAINT es_schema_pkey PRIMARY KEY (id);


--
-- Name: es_streams es_streams_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.es_streams
    ADD CONSTRAINT es_streams_pkey PRIMARY KEY (stream_id);


--
-- Name: snapshots snapshots_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (stream_id, schema_version);


--
-- Name: es_events es_events_stream_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.es_events
    ADD CONSTRAINT es_events_stream_id_fkey FOREIGN KEY (stream_id) REFERENCES public.es_streams(stream_id);


--
-- PostgreSQL database dump complete
--


