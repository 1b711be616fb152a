package logical

// ours begins the queries of the inventory: member holds what belongs to an
// extension. Objects of PostgreSQL itself have oids below 16384.
const ours = `
WITH member AS MATERIALIZED (
  SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
)`

const inventorySchemas = ours + `
SELECT 'schema', quote_ident(n.nspname), NULL
  FROM pg_catalog.pg_namespace n
 WHERE (n.oid >= 16384 OR n.nspname = 'public') AND n.nspname !~ '^pg_'
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_namespace'::regclass AND m.objid = n.oid)`

const inventoryExtensions = `
SELECT 'extension', quote_ident(x.extname), x.extversion || ' in ' || n.nspname
  FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace`

// relation narrows a query to the relations of the user. It continues ours.
const ourRelations = ours + `, rel AS MATERIALIZED (
  SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS identity
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.oid >= 16384 AND n.nspname !~ '^pg_' AND c.relpersistence <> 't'
     AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_class'::regclass AND m.objid = c.oid)
)`

// Tablespaces are left out: a target may have others, or none.
const inventoryRelations = ourRelations + `
SELECT CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
         WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' END,
       r.identity,
       concat_ws(E'\n', r.relpersistence, r.relreplident, r.relrowsecurity, r.relforcerowsecurity, r.relispopulated,
         (SELECT 'using ' || a.amname FROM pg_catalog.pg_am a WHERE a.oid = r.relam),
         (SELECT 'with ' || string_agg(o, ', ' ORDER BY o) FROM unnest(r.reloptions) o),
         (SELECT 'toast ' || string_agg(o, ', ' ORDER BY o) FROM pg_catalog.pg_class t, unnest(t.reloptions) o WHERE t.oid = r.reltoastrelid),
         (SELECT 'inherits ' || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno) FROM pg_catalog.pg_inherits i WHERE i.inhrelid = r.oid),
         'of ' || NULLIF(r.reloftype, 0)::regtype::text,
         CASE WHEN r.relkind = 'p' THEN E'\x01' || pg_get_partkeydef(r.oid) || E'\x02' END,
         E'\x01' || pg_get_expr(r.relpartbound, r.oid) || E'\x02',
         CASE WHEN r.relkind IN ('v', 'm') THEN E'\x01' || pg_get_viewdef(r.oid) || E'\x02' END,
         (SELECT concat_ws(' ', 'server', s.srvname, (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(f.ftoptions) o))
            FROM pg_catalog.pg_foreign_table f JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = r.oid))
  FROM rel r
 WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f')`

// The state of a sequence is compared apart from it.
const inventorySequences = ourRelations + `
SELECT 'sequence', r.identity,
       concat_ws(E'\n', r.relpersistence, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
         (SELECT concat_ws(' ', d.deptype, d.refobjid::regclass, a.attname)
            FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
           WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = r.oid AND d.deptype IN ('a', 'i')
             AND d.refclassid = 'pg_catalog.pg_class'::regclass LIMIT 1))
  FROM rel r JOIN pg_catalog.pg_sequence s ON s.seqrelid = r.oid`

// Neither the position of a column nor whether it was inherited is part of it:
// pg_dump does not keep them in every case. A statistics target of none was -1
// until PostgreSQL 16 and is NULL since. Since 17 a partition's column is an
// identity where its parent's is. Options whose names begin with pg_ are
// the server's own notes (pg_attver since 15.20): no two databases share them.
const inventoryColumns = ourRelations + `
SELECT 'column', format('%s.%I', r.identity, a.attname),
       concat_ws(E'\n', format_type(a.atttypid, a.atttypmod), a.attnotnull,
         'default ' || E'\x01' || pg_get_expr(d.adbin, d.adrelid) || E'\x02', 'identity ' || NULLIF(CASE WHEN @one_identity OR NOT r.relispartition THEN a.attidentity::text ELSE '' END, ''), 'generated ' || NULLIF(a.attgenerated::text, ''),
         (SELECT 'collate ' || a.attcollation::regcollation::text FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid AND t.typcollation <> a.attcollation),
         'storage ' || a.attstorage::text, 'compression ' || NULLIF(a.attcompression::text, ''),
         'statistics ' || NULLIF(a.attstattarget, -1)::text,
         (SELECT 'with ' || string_agg(o, ', ' ORDER BY o) FROM unnest(a.attoptions) o WHERE o NOT LIKE 'pg\_%'),
         (SELECT 'options ' || string_agg(o, ', ' ORDER BY o) FROM unnest(a.attfdwoptions) o))
  FROM rel r
  JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE r.relkind IN ('r', 'p', 'f', 'm')`

// NOT NULL is a property of the column; PostgreSQL 18 has constraints for it as
// well. Foreign keys that a partition has from its parent are made with the
// parent's, under names of PostgreSQL's choice, and trigger constraints are
// triggers.
const inventoryConstraints = ourRelations + `
SELECT 'constraint', format('%s.%I', r.identity, c.conname), concat_ws(E'\n', E'\x01' || pg_get_constraintdef(c.oid) || E'\x02', c.convalidated)
  FROM pg_catalog.pg_constraint c JOIN rel r ON r.oid = c.conrelid
 WHERE c.contype NOT IN ('n', 't') AND NOT (c.contype = 'f' AND c.conparentid <> 0)
UNION ALL
SELECT 'constraint', format('%s.%I', format_type(t.oid, NULL), c.conname), concat_ws(E'\n', E'\x01' || pg_get_constraintdef(c.oid) || E'\x02', c.convalidated)
  FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_type t ON t.oid = c.contypid
 WHERE c.contype <> 'n' AND t.oid >= 16384
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_type'::regclass AND m.objid = t.oid)`

// An invalid index is what a failed CREATE INDEX CONCURRENTLY leaves; pg_dump
// does not keep it.
const inventoryIndexes = ourRelations + `
SELECT 'index', format('%I.%I', r.nspname, x.relname),
       concat_ws(E'\n', E'\x01' || pg_get_indexdef(i.indexrelid) || E'\x02', i.indisvalid, i.indisclustered, i.indisreplident,
         (SELECT 'part of ' || h.inhparent::regclass::text FROM pg_catalog.pg_inherits h WHERE h.inhrelid = i.indexrelid),
         (SELECT 'statistics ' || string_agg(concat_ws(' ', a.attnum, a.attstattarget), ', ' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0))
  FROM pg_catalog.pg_index i JOIN rel r ON r.oid = i.indrelid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
 WHERE i.indisready AND (i.indisvalid OR r.relkind = 'p')`

const inventoryTriggers = ourRelations + `
SELECT 'trigger', format('%s.%I', r.identity, t.tgname), concat_ws(E'\n', E'\x01' || pg_get_triggerdef(t.oid) || E'\x02', t.tgenabled)
  FROM pg_catalog.pg_trigger t JOIN rel r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal`

const inventoryRules = ourRelations + `
SELECT 'rule', format('%s.%I', r.identity, w.rulename), concat_ws(E'\n', E'\x01' || pg_get_ruledef(w.oid) || E'\x02', w.ev_enabled)
  FROM pg_catalog.pg_rewrite w JOIN rel r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'`

const inventoryPolicies = ourRelations + `
SELECT 'policy', format('%s.%I', r.identity, p.polname),
       concat_ws(E'\n', p.polcmd, p.polpermissive, 'using ' || E'\x01' || pg_get_expr(p.polqual, p.polrelid) || E'\x02', 'check ' || E'\x01' || pg_get_expr(p.polwithcheck, p.polrelid) || E'\x02')
  FROM pg_catalog.pg_policy p JOIN rel r ON r.oid = p.polrelid`

const inventoryPolicyRoles = ourRelations + `
SELECT 'policy role', format('%s.%I to %s', r.identity, p.polname, CASE WHEN u.oid = 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(u.oid)) END), NULL
  FROM pg_catalog.pg_policy p JOIN rel r ON r.oid = p.polrelid CROSS JOIN LATERAL unnest(p.polroles) AS u (oid)`

const inventoryStatistics = ours + `
SELECT 'statistics', format('%I.%I', n.nspname, s.stxname),
       concat_ws(E'\n', E'\x01' || pg_get_statisticsobjdef(s.oid) || E'\x02', 'statistics ' || NULLIF(s.stxstattarget, -1)::text)
  FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
 WHERE n.nspname !~ '^pg_'
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_statistic_ext'::regclass AND m.objid = s.oid)`
