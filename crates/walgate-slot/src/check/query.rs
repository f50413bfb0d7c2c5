//! What is asked only for a check: of catalogs, in two queries.
//!
//! Rows of catalogs that differ between versions go through `to_jsonb`, so that a column that a version
//! lacks is absent. No table of the user is locked: sizes are those that the last `VACUUM` or `ANALYZE`
//! has noted.

/// What of table `c` has no replica identity: itself, or partitions of it, whose identities are their own. A
/// table is identified by FULL, by the index that was chosen while it is there, or by a primary key that is
/// not deferrable (`RelationGetIndexList` in `relcache.c`). Null when all have one.
macro_rules! unidentified {
    () => {
        "(SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                    'schema', s.nspname, 'name', part.relname) ORDER BY s.nspname, part.relname)
                FROM (SELECT c.oid UNION SELECT tree.relid::pg_catalog.oid
                      FROM pg_catalog.pg_partition_tree(c.oid) AS tree WHERE tree.isleaf) AS found(oid)
                JOIN pg_catalog.pg_class AS part ON part.oid = found.oid AND part.relkind IN ('r', 'p')
                JOIN pg_catalog.pg_namespace AS s ON s.oid = part.relnamespace
                WHERE NOT CASE part.relreplident
                    WHEN 'f' THEN true
                    WHEN 'i' THEN EXISTS (SELECT FROM pg_catalog.pg_index AS i
                        WHERE i.indrelid = part.oid AND i.indisreplident AND i.indisvalid)
                    WHEN 'd' THEN EXISTS (SELECT FROM pg_catalog.pg_index AS i
                        WHERE i.indrelid = part.oid AND i.indisprimary AND i.indisvalid
                          AND i.indimmediate)
                    ELSE false END)"
    };
}

/// Settings, rights and publications. `$1` are the names of the publications.
pub(super) const SETTINGS: &str = "
SELECT pg_catalog.textsend(pg_catalog.jsonb_build_object(
    'backend_pid', pg_catalog.pg_backend_pid(),
    'pending_restart', (SELECT pg_catalog.jsonb_agg(s.name) FROM pg_catalog.pg_settings AS s
        WHERE s.pending_restart),
    'limits', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(l)) FROM (
        SELECT DISTINCT ON (1) pg_catalog.split_part(c.setting, '=', 1) AS name,
            pg_catalog.split_part(c.setting, '=', 2) AS value,
            d.setrole <> 0 AS of_role, d.setdatabase <> 0 AS of_database
        FROM pg_catalog.pg_db_role_setting AS d, pg_catalog.unnest(d.setconfig) AS c(setting)
        WHERE d.setrole IN (0, (SELECT r.oid FROM pg_catalog.pg_roles AS r
                                WHERE r.rolname = current_user))
          AND d.setdatabase IN (0, (SELECT b.oid FROM pg_catalog.pg_database AS b
                                    WHERE b.datname = pg_catalog.current_database()))
          AND pg_catalog.split_part(c.setting, '=', 1) IN ('idle_session_timeout', 'transaction_timeout')
        ORDER BY 1, of_role DESC, of_database DESC) AS l),
    'output_plugin_libraries', pg_catalog.current_setting('output_plugin_libraries', true),
    'synchronous_commit', pg_catalog.current_setting('synchronous_commit'),
    'logical_decoding_work_mem', pg_catalog.current_setting('logical_decoding_work_mem', true),
    'may_emit', (SELECT pg_catalog.bool_or(pg_catalog.has_function_privilege(f.oid, 'EXECUTE'))
        FROM pg_catalog.pg_proc AS f
        WHERE f.proname = 'pg_logical_emit_message'
          AND f.pronamespace = 'pg_catalog'::pg_catalog.regnamespace),
    'bypasses_row_security', (SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles AS r
        WHERE r.rolname = current_user),
    'publications', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', p.pubname, 'all_tables', p.puballtables, 'via_root', p.pubviaroot,
            'insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete,
            'truncate', p.pubtruncate, 'age', pg_catalog.age(p.xmin)))
        FROM pg_catalog.pg_publication AS p WHERE p.pubname = ANY ($1)))::pg_catalog.text)";

/// Tables: those of the publications `$1`, and those that are wanted and not in them. `$2` and `$3`
/// are schemas and names of what is wanted.
pub(super) const TABLES: &str = concat!(
    "
SELECT pg_catalog.textsend(pg_catalog.jsonb_build_object(
    'tables', (SELECT pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_object(
            'schema', n.nspname, 'name', c.relname, 'identity', c.relreplident,
            'publishes_changes', EXISTS (SELECT FROM pg_catalog.pg_publication AS p
                JOIN pg_catalog.pg_publication_tables AS o ON o.pubname = p.pubname
                WHERE p.pubname = ANY ($1) AND (p.pubupdate OR p.pubdelete)
                  AND o.schemaname = n.nspname AND o.tablename = c.relname),
            'unidentified', ",
    unidentified!(),
    ",
            'candidate', (SELECT x.relname FROM pg_catalog.pg_index AS i
                JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
                WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                  AND i.indpred IS NULL AND i.indexprs IS NULL
                  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                      WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
                        AND NOT a.attnotnull)
                ORDER BY i.indnatts, x.relname LIMIT 1),
            'large_values', EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                  AND a.attstorage IN ('x', 'e')),
            'generated', EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                  AND a.attgenerated <> ''
                  AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables AS o
                      WHERE o.pubname = ANY ($1)
                        AND o.schemaname = n.nspname AND o.tablename = c.relname
                        AND pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 180000
                        AND pg_catalog.to_jsonb(o)->'attnames' ? a.attname::pg_catalog.text)),
            'partition', c.relispartition,
            'readable', pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                AND (pg_catalog.has_table_privilege(c.oid, 'SELECT')
                     OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT')),
            'row_security', c.relrowsecurity,
            'bytes', GREATEST(c.relpages, 0)::pg_catalog.int8
                * pg_catalog.current_setting('block_size')::pg_catalog.int8,
            'outside_identity', (
                WITH r AS (SELECT pg_catalog.to_jsonb(pr) AS row FROM pg_catalog.pg_publication_rel AS pr
                           JOIN pg_catalog.pg_publication AS p ON p.oid = pr.prpubid
                           WHERE pr.prrelid = c.oid AND p.pubname = ANY ($1)
                             AND (p.pubupdate OR p.pubdelete)),
                identity AS (SELECT a.attnum, a.attname FROM pg_catalog.pg_attribute AS a
                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                      AND (c.relreplident = 'f' OR EXISTS (SELECT FROM pg_catalog.pg_index AS i
                          WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey)
                            AND (c.relreplident = 'd' AND i.indisprimary
                                 OR c.relreplident = 'i' AND i.indisreplident))))
                SELECT pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_object(
                    'column', u.attname, 'filter', u.filter))
                FROM (SELECT d.attname, false AS filter FROM identity AS d, r
                      WHERE r.row->>'prattrs' IS NOT NULL
                        AND NOT d.attnum::pg_catalog.text = ANY (pg_catalog.regexp_split_to_array(
                            pg_catalog.btrim(pg_catalog.translate(r.row->>'prattrs', '[],', '   ')), '\\s+'))
                      UNION
                      SELECT a.attname, true FROM r,
                          LATERAL pg_catalog.regexp_matches(r.row->>'prqual', ':varattno (\\d+)', 'g') AS m(found)
                          JOIN pg_catalog.pg_attribute AS a
                            ON a.attrelid = c.oid AND a.attnum = m.found[1]::pg_catalog.int2
                      WHERE NOT EXISTS (SELECT FROM identity AS d WHERE d.attnum = a.attnum)) AS u),
            'texts', (SELECT pg_catalog.jsonb_agg(DISTINCT pg_catalog.format_type(t.oid, NULL))
                FROM pg_catalog.pg_attribute AS a
                JOIN pg_catalog.pg_type AS g ON g.oid = a.atttypid
                JOIN pg_catalog.pg_type AS t ON t.oid = CASE WHEN g.typcategory = 'A'
                    THEN g.typelem ELSE g.oid END
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                  AND (t.typtype IN ('c', 'r', 'm') OR t.typcategory = 'G'
                       OR t.typtype = 'b' AND t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace))
        ))
        FROM pg_catalog.pg_publication_tables AS t
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = t.schemaname
        JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.tablename
        WHERE t.pubname = ANY ($1)),
    'unpublished', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'schema', w.schema, 'name', w.name, 'kind', c.relkind, 'persistence', c.relpersistence,
            'has_identity', c.oid IS NOT NULL AND ",
    unidentified!(),
    " IS NULL) ORDER BY w.schema, w.name)
        FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[])) AS w(schema, name)
        LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
        LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables AS t
            WHERE t.pubname = ANY ($1) AND t.schemaname = w.schema AND t.tablename = w.name))
)::pg_catalog.text)"
);
