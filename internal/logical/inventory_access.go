package logical

const inventoryForeign = ours + `
SELECT 'foreign-data wrapper', quote_ident(w.fdwname),
       concat_ws(E'\n', NULLIF(w.fdwhandler, 0)::regproc, NULLIF(w.fdwvalidator, 0)::regproc, (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(w.fdwoptions) o))
  FROM pg_catalog.pg_foreign_data_wrapper w
 WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_foreign_data_wrapper'::regclass AND m.objid = w.oid)
UNION ALL
SELECT 'server', quote_ident(s.srvname),
       concat_ws(E'\n', w.fdwname, 'type ' || s.srvtype, 'version ' || s.srvversion, (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(s.srvoptions) o))
  FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
 WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_foreign_server'::regclass AND m.objid = s.oid)`

// The options of a user mapping are passwords, and only some may read them.
const inventoryUserMappings = `
SELECT 'user mapping', format('%I on %I', coalesce(u.usename, 'public'), u.srvname), NULL FROM pg_catalog.pg_user_mappings u`

const inventoryEventTriggers = ours + `, ours AS (
  SELECT e.* FROM pg_catalog.pg_event_trigger e
   WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_event_trigger'::regclass AND m.objid = e.oid)
)
SELECT 'event trigger', quote_ident(e.evtname), concat_ws(E'\n', e.evtevent, e.evtfoid::regprocedure, (SELECT string_agg(t, ', ' ORDER BY t) FROM unnest(e.evttags) t))
  FROM ours e
UNION ALL
SELECT 'event trigger state', quote_ident(e.evtname), e.evtenabled::text FROM ours e`

// PostgreSQL 18 added pubgencols; it is left out, because its default is what
// the versions before did.
const inventoryPublications = `
SELECT 'publication', quote_ident(p.pubname),
       concat_ws(E'\n', p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot)
  FROM pg_catalog.pg_publication p
UNION ALL
SELECT 'publication table', format('%s in %I', r.prrelid::regclass, p.pubname),
       concat_ws(E'\n', 'where ' || E'\x01' || pg_get_expr(r.prqual, r.prrelid) || E'\x02',
         (SELECT 'columns ' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname)
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])))
  FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
UNION ALL
SELECT 'publication schema', format('%I in %I', n.nspname, p.pubname), NULL
  FROM pg_catalog.pg_publication_namespace s JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid JOIN pg_catalog.pg_namespace n ON n.oid = s.pnnspid`

// Where a subscription connects to is a secret.
const inventorySubscriptions = `
SELECT 'subscription', quote_ident(s.subname), concat_ws(E'\n', s.subslotname, (SELECT string_agg(p, ', ' ORDER BY p) FROM unnest(s.subpublications) p))
  FROM pg_catalog.pg_subscription s
 WHERE s.subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())`

// Who made an extension owns what it brought along; that is not compared.
const inventoryOwners = ours + `, owned (classid, objid, owner) AS (
  SELECT 'pg_catalog.pg_class'::regclass, oid, relowner FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND relpersistence <> 't'
  UNION ALL SELECT 'pg_catalog.pg_proc'::regclass, oid, proowner FROM pg_catalog.pg_proc
  UNION ALL SELECT 'pg_catalog.pg_type'::regclass, t.oid, t.typowner FROM pg_catalog.pg_type t
             WHERE t.typtype <> 'm' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)
               AND NOT (t.typrelid <> 0 AND (SELECT c.relkind FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid) <> 'c')
  UNION ALL SELECT 'pg_catalog.pg_namespace'::regclass, oid, nspowner FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_'
  UNION ALL SELECT 'pg_catalog.pg_operator'::regclass, oid, oprowner FROM pg_catalog.pg_operator WHERE oprcode <> 0
  UNION ALL SELECT 'pg_catalog.pg_opclass'::regclass, oid, opcowner FROM pg_catalog.pg_opclass
  UNION ALL SELECT 'pg_catalog.pg_opfamily'::regclass, oid, opfowner FROM pg_catalog.pg_opfamily
  UNION ALL SELECT 'pg_catalog.pg_collation'::regclass, oid, collowner FROM pg_catalog.pg_collation
  UNION ALL SELECT 'pg_catalog.pg_conversion'::regclass, oid, conowner FROM pg_catalog.pg_conversion
  UNION ALL SELECT 'pg_catalog.pg_ts_config'::regclass, oid, cfgowner FROM pg_catalog.pg_ts_config
  UNION ALL SELECT 'pg_catalog.pg_ts_dict'::regclass, oid, dictowner FROM pg_catalog.pg_ts_dict
  UNION ALL SELECT 'pg_catalog.pg_language'::regclass, oid, lanowner FROM pg_catalog.pg_language
  UNION ALL SELECT 'pg_catalog.pg_foreign_data_wrapper'::regclass, oid, fdwowner FROM pg_catalog.pg_foreign_data_wrapper
  UNION ALL SELECT 'pg_catalog.pg_foreign_server'::regclass, oid, srvowner FROM pg_catalog.pg_foreign_server
  UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::regclass, oid, stxowner FROM pg_catalog.pg_statistic_ext
  UNION ALL SELECT 'pg_catalog.pg_event_trigger'::regclass, oid, evtowner FROM pg_catalog.pg_event_trigger
)
SELECT 'owner', i.type || ' ' || i.identity, pg_get_userbyid(o.owner)::text
  FROM owned o CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) i
 WHERE (o.objid >= 16384 OR o.classid = 'pg_catalog.pg_namespace'::regclass AND i.identity = 'public')
   AND i.schema IS DISTINCT FROM 'pg_toast' AND coalesce(i.schema, '') !~ '^pg_temp'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND o.classid = d.classid AND d.objid = o.objid AND d.deptype = 'i')
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = o.classid AND m.objid = o.objid)`

// What matters of an ACL is how it differs from what the object began with:
// from its extension or from PostgreSQL (pg_init_privs), or else from the
// default for its kind, which newer versions extend. Who granted is left out.
const inventoryACLs = `
WITH granted (classid, objid, objsubid, acl, initial) AS (
  SELECT 'pg_catalog.pg_class'::regclass, oid, 0, relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)
    FROM pg_catalog.pg_class WHERE relacl IS NOT NULL AND relpersistence <> 't'
  UNION ALL SELECT 'pg_catalog.pg_class'::regclass, a.attrelid, a.attnum, a.attacl, NULL::aclitem[]
    FROM pg_catalog.pg_attribute a WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
  UNION ALL SELECT 'pg_catalog.pg_proc'::regclass, oid, 0, proacl, acldefault('f', proowner) FROM pg_catalog.pg_proc WHERE proacl IS NOT NULL
  UNION ALL SELECT 'pg_catalog.pg_type'::regclass, oid, 0, typacl, acldefault('T', typowner) FROM pg_catalog.pg_type WHERE typacl IS NOT NULL
  UNION ALL SELECT 'pg_catalog.pg_namespace'::regclass, oid, 0, nspacl, acldefault('n', nspowner) FROM pg_catalog.pg_namespace
    WHERE nspacl IS NOT NULL AND nspname !~ '^pg_(temp|toast)'
  UNION ALL SELECT 'pg_catalog.pg_language'::regclass, oid, 0, lanacl, acldefault('l', lanowner) FROM pg_catalog.pg_language WHERE lanacl IS NOT NULL
  UNION ALL SELECT 'pg_catalog.pg_foreign_data_wrapper'::regclass, oid, 0, fdwacl, acldefault('F', fdwowner) FROM pg_catalog.pg_foreign_data_wrapper WHERE fdwacl IS NOT NULL
  UNION ALL SELECT 'pg_catalog.pg_foreign_server'::regclass, oid, 0, srvacl, acldefault('S', srvowner) FROM pg_catalog.pg_foreign_server WHERE srvacl IS NOT NULL
), compared AS (
  SELECT g.classid, g.objid, g.objsubid,
         (SELECT string_agg(x.line, E'\n' ORDER BY x.line COLLATE "C") FROM (
            (SELECT '+' || CASE grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(grantee)) END || ' ' || privilege_type || is_grantable AS line FROM aclexplode(g.acl)
             EXCEPT SELECT '+' || CASE grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(grantee)) END || ' ' || privilege_type || is_grantable FROM aclexplode(coalesce(p.initprivs, g.initial)))
            UNION ALL
            (SELECT '-' || CASE grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(grantee)) END || ' ' || privilege_type || is_grantable FROM aclexplode(coalesce(p.initprivs, g.initial))
             EXCEPT SELECT '-' || CASE grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(grantee)) END || ' ' || privilege_type || is_grantable FROM aclexplode(g.acl))) x
           WHERE x.line !~ ALL (SELECT ' ' || later || '(true|false)$' FROM unnest('@later'::text[]) later)) AS changes
    FROM granted g LEFT JOIN pg_catalog.pg_init_privs p ON p.classoid = g.classid AND p.objoid = g.objid AND p.objsubid = g.objsubid
)
SELECT CASE WHEN c.objsubid = 0 THEN 'acl' ELSE 'column acl' END, i.type || ' ' || i.identity, c.changes
  FROM compared c CROSS JOIN LATERAL pg_identify_object(c.classid, c.objid, c.objsubid) i
 WHERE c.changes IS NOT NULL`

const inventoryDefaultACLs = `
SELECT 'default acl',
       concat_ws(' ', quote_ident(pg_get_userbyid(d.defaclrole)), 'in ' || quote_ident(n.nspname), 'on', d.defaclobjtype),
       (SELECT string_agg(x.line, E'\n' ORDER BY x.line COLLATE "C")
          FROM (SELECT concat_ws(' ', CASE a.grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, a.privilege_type, a.is_grantable) AS line
                  FROM aclexplode(d.defaclacl) a WHERE a.grantee <> d.defaclrole AND a.privilege_type <> ALL ('@later'::text[])) x)
  FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace`

// Comments on large objects are kept with them. PostgreSQL 15 and 17 identify
// transforms differently.
const inventoryComments = ours + `
SELECT 'comment', i.type || ' ' || coalesce((SELECT format('for %s on language %s', format_type(t.trftype, NULL), l.lanname)
         FROM pg_catalog.pg_transform t JOIN pg_catalog.pg_language l ON l.oid = t.trflang
        WHERE d.classoid = 'pg_catalog.pg_transform'::regclass AND t.oid = d.objoid), i.identity), d.description
  FROM pg_catalog.pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
 WHERE (d.objoid >= 16384 OR d.classoid = 'pg_catalog.pg_namespace'::regclass AND i.identity = 'public')
   AND d.classoid NOT IN ('pg_catalog.pg_largeobject'::regclass)
   AND coalesce(i.schema, '') !~ '^pg_temp'
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = d.classoid AND m.objid = d.objoid)`

const inventoryLabels = ours + `
SELECT 'security label', concat_ws(' ', l.provider, i.type, i.identity), l.label
  FROM pg_catalog.pg_seclabel l CROSS JOIN LATERAL pg_identify_object(l.classoid, l.objoid, l.objsubid) i
 WHERE l.classoid NOT IN ('pg_catalog.pg_largeobject'::regclass)
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = l.classoid AND m.objid = l.objoid)`
