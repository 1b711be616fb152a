package logical

const inventoryFunctions = ours + `
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
       format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
       CASE WHEN p.prosqlbody IS NULL AND p.proargdefaults IS NULL THEN pg_get_functiondef(p.oid) ELSE E'\x01' || pg_get_functiondef(p.oid) || E'\x02' END
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE p.oid >= 16384 AND p.prokind <> 'a' AND n.nspname !~ '^pg_temp'
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_proc'::regclass AND m.objid = p.oid)
   -- what comes with a type comes with it: the constructors of ranges
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')`

const inventoryAggregates = ours + `
SELECT 'aggregate', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
       concat_ws(E'\n', pg_get_function_result(p.oid), p.proparallel, a.aggkind, a.aggnumdirectargs, a.aggtransfn, a.aggfinalfn, a.aggcombinefn,
         a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn, a.aggfinalextra, a.aggmfinalextra,
         a.aggfinalmodify, a.aggmfinalmodify, a.aggsortop::regoperator, format_type(a.aggtranstype, NULL), a.aggtransspace,
         format_type(NULLIF(a.aggmtranstype, 0), NULL), a.aggmtransspace, 'initial ' || a.agginitval, 'moving initial ' || a.aggminitval)
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
 WHERE p.oid >= 16384 AND n.nspname !~ '^pg_temp'
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_proc'::regclass AND m.objid = p.oid)`

// Array types, multiranges and the row types of tables come with others.
const inventoryTypes = ours + `
SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, format_type(t.oid, NULL),
       CASE t.typtype
         WHEN 'e' THEN (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)
         WHEN 'd' THEN concat_ws(E'\n', format_type(t.typbasetype, t.typtypmod), t.typnotnull, 'default ' || E'\x01' || pg_get_expr(t.typdefaultbin, 0) || E'\x02',
                        'collate ' || NULLIF(t.typcollation, 0)::regcollation::text)
         WHEN 'c' THEN (SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), NULLIF(a.attcollation, 0)::regcollation), ', ' ORDER BY a.attnum)
                          FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
         WHEN 'r' THEN (SELECT concat_ws(E'\n', format_type(r.rngsubtype, NULL), format_type(r.rngmultitypid, NULL), o.opcname,
                               NULLIF(r.rngcollation, 0)::regcollation, r.rngcanonical, r.rngsubdiff)
                          FROM pg_catalog.pg_range r JOIN pg_catalog.pg_opclass o ON o.oid = r.rngsubopc WHERE r.rngtypid = t.oid)
         ELSE concat_ws(E'\n', t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze, t.typsubscript,
                t.typlen, t.typbyval, t.typcategory, t.typispreferred, t.typdelim, t.typalign, t.typstorage, t.typcollation <> 0,
                format_type(NULLIF(t.typelem, 0), NULL), 'default ' || t.typdefault)
       END
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE t.oid >= 16384 AND n.nspname !~ '^pg_' AND t.typisdefined AND t.typtype <> 'm'
   AND NOT (t.typrelid <> 0 AND (SELECT c.relkind FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid) <> 'c')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_type'::regclass AND m.objid = t.oid)`

const inventoryCasts = ours + `
SELECT 'cast', format('%s AS %s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)),
       concat_ws(E'\n', NULLIF(c.castfunc, 0)::regprocedure, c.castcontext, c.castmethod)
  FROM pg_catalog.pg_cast c
 WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_cast'::regclass AND m.objid = c.oid)
UNION ALL
SELECT 'transform', format('for %s language %I', format_type(f.trftype, NULL), l.lanname),
       concat_ws(E'\n', NULLIF(f.trffromsql, 0)::regprocedure, NULLIF(f.trftosql, 0)::regprocedure)
  FROM pg_catalog.pg_transform f JOIN pg_catalog.pg_language l ON l.oid = f.trflang
 WHERE f.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_transform'::regclass AND m.objid = f.oid)`

const inventoryOperators = ours + `
SELECT 'operator', o.oid::regoperator::text,
       concat_ws(E'\n', o.oprcode, o.oprcanmerge, o.oprcanhash, NULLIF(o.oprcom, 0)::regoperator, NULLIF(o.oprnegate, 0)::regoperator, o.oprrest, o.oprjoin)
  FROM pg_catalog.pg_operator o
 WHERE o.oid >= 16384 AND o.oprcode <> 0
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_operator'::regclass AND m.objid = o.oid)`

const inventoryOperatorFamilies = ours + `
SELECT 'operator family', i.identity,
       concat_ws(E'\n',
         (SELECT string_agg(concat_ws(' ', o.amopstrategy, o.amopopr::regoperator, o.amoppurpose, (SELECT s.opfname FROM pg_catalog.pg_opfamily s WHERE s.oid = o.amopsortfamily)), E'\n'
                   ORDER BY o.amopstrategy, o.amopopr::regoperator::text)
            FROM pg_catalog.pg_amop o WHERE o.amopfamily = f.oid),
         (SELECT string_agg(concat_ws(' ', p.amprocnum, format_type(p.amproclefttype, NULL), format_type(p.amprocrighttype, NULL), p.amproc::regprocedure), E'\n'
                   ORDER BY p.amprocnum, format_type(p.amproclefttype, NULL), format_type(p.amprocrighttype, NULL))
            FROM pg_catalog.pg_amproc p WHERE p.amprocfamily = f.oid))
  FROM pg_catalog.pg_opfamily f CROSS JOIN LATERAL pg_identify_object('pg_catalog.pg_opfamily'::regclass, f.oid, 0) i
 WHERE f.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_opfamily'::regclass AND m.objid = f.oid)`

const inventoryOperatorClasses = ours + `
SELECT 'operator class', i.identity,
       concat_ws(E'\n', f.opfname, format_type(o.opcintype, NULL), format_type(NULLIF(o.opckeytype, 0), NULL), o.opcdefault)
  FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_opfamily f ON f.oid = o.opcfamily
 CROSS JOIN LATERAL pg_identify_object('pg_catalog.pg_opclass'::regclass, o.oid, 0) i
 WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_opclass'::regclass AND m.objid = o.oid)`

// The locale of an ICU collation was colliculocale until 16 and is colllocale
// since 17.
const inventoryCollations = ours + `
SELECT 'collation', format('%I.%I', n.nspname, c.collname),
       concat_ws(E'\n', c.collprovider, c.collisdeterministic, c.collcollate, c.collctype,
         coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale'), to_jsonb(c) ->> 'collicurules')
  FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
 WHERE c.oid >= 16384 AND n.nspname <> 'pg_catalog'
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_collation'::regclass AND m.objid = c.oid)`

const inventoryConversions = ours + `
SELECT 'conversion', format('%I.%I', n.nspname, c.conname),
       concat_ws(E'\n', pg_encoding_to_char(c.conforencoding), pg_encoding_to_char(c.contoencoding), c.conproc, c.condefault)
  FROM pg_catalog.pg_conversion c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
 WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_conversion'::regclass AND m.objid = c.oid)`

const inventoryTextSearch = ours + `
SELECT 'text search configuration', format('%I.%I', n.nspname, c.cfgname),
       concat_ws(E'\n', (SELECT p.prsname FROM pg_catalog.pg_ts_parser p WHERE p.oid = c.cfgparser),
         (SELECT string_agg(concat_ws(' ', m.maptokentype, m.mapseqno, m.mapdict::regdictionary), ', ' ORDER BY m.maptokentype, m.mapseqno)
            FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = c.oid))
  FROM pg_catalog.pg_ts_config c JOIN pg_catalog.pg_namespace n ON n.oid = c.cfgnamespace
 WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_ts_config'::regclass AND m.objid = c.oid)
UNION ALL
SELECT 'text search dictionary', format('%I.%I', n.nspname, d.dictname),
       concat_ws(E'\n', (SELECT t.tmplname FROM pg_catalog.pg_ts_template t WHERE t.oid = d.dicttemplate), d.dictinitoption)
  FROM pg_catalog.pg_ts_dict d JOIN pg_catalog.pg_namespace n ON n.oid = d.dictnamespace
 WHERE d.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_ts_dict'::regclass AND m.objid = d.oid)
UNION ALL
SELECT 'text search parser', format('%I.%I', n.nspname, p.prsname),
       concat_ws(E'\n', p.prsstart, p.prstoken, p.prsend, p.prsheadline, p.prslextype)
  FROM pg_catalog.pg_ts_parser p JOIN pg_catalog.pg_namespace n ON n.oid = p.prsnamespace
 WHERE p.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_ts_parser'::regclass AND m.objid = p.oid)
UNION ALL
SELECT 'text search template', format('%I.%I', n.nspname, t.tmplname), concat_ws(E'\n', t.tmplinit, t.tmpllexize)
  FROM pg_catalog.pg_ts_template t JOIN pg_catalog.pg_namespace n ON n.oid = t.tmplnamespace
 WHERE t.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_ts_template'::regclass AND m.objid = t.oid)`

const inventoryLanguages = ours + `
SELECT 'language', quote_ident(l.lanname), concat_ws(E'\n', l.lanpltrusted, NULLIF(l.lanplcallfoid, 0)::regproc, NULLIF(l.laninline, 0)::regproc, NULLIF(l.lanvalidator, 0)::regproc)
  FROM pg_catalog.pg_language l
 WHERE l.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_language'::regclass AND m.objid = l.oid)
UNION ALL
SELECT 'access method', quote_ident(a.amname), concat_ws(E'\n', a.amtype, a.amhandler)
  FROM pg_catalog.pg_am a
 WHERE a.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_am'::regclass AND m.objid = a.oid)`
