-- A column of every type that has one, with the values at its edges.
CREATE TABLE types."values" (
    id serial PRIMARY KEY,
    b boolean, c1 "char", n name, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision,
    num numeric, num_s numeric(20, 5), num_neg numeric(5, -2), mon money,
    t text, vc varchar(20), ch char(10), t_c text COLLATE "C", t_blind text COLLATE types.blind, by bytea, u uuid,
    d date, tm time, tm3 time(3), tmtz timetz, ts timestamp, tstz timestamptz, ts0 timestamp(0), iv interval, iv_dh interval day to hour,
    j json, jb jsonb, jp jsonpath, x xml, bi bit(8), vb varbit,
    ip inet, net cidr, mac macaddr, mac8 macaddr8,
    tv tsvector, tq tsquery,
    pt point, ln line, ls lseg, bx box, pa path, po polygon, ci circle,
    r4 int4range, r8 int8range, rn numrange, rd daterange, rts tsrange, rtstz tstzrange, mr int4multirange, mrn nummultirange, own_r types.real_range, own_mr types.many_real_ranges, own_t types.text_range,
    o oid, xi xid, xi8 xid8, ct tid, lsn pg_lsn, snap pg_snapshot, ov oidvector, iv2 int2vector,
    rc regclass, rp regproc, rpd regprocedure, ro regoper, rod regoperator, rt regtype, rr regrole, rns regnamespace, rcol regcollation, rcfg regconfig, rdic regdictionary,
    en types.colour, dom types.small_positive DEFAULT 2, dcode types.code, dpair types.pair, dplace types.place, comp types.point3, nest types.nested, rot types.rot,
    a_i integer[], a_t text[], a_n numeric[], a_en types.colour[], a_comp types.nested[], a_by bytea[], a_j jsonb[], a_x xml[], a_r int4range[], a_dom types.code[], a_vc varchar(5)[], a_tstz timestamptz[], a_inet inet[]
);
INSERT INTO types."values" DEFAULT VALUES;
INSERT INTO types."values" VALUES (DEFAULT,
    true, 'x', 'a name', 32767, 2147483647, 9223372036854775807, '3.4028235e38', '1.7976931348623157e308',
    repeat('9', 500)::numeric + 0.123456789, 12345.67891, 98700, '12345.67',
    E'tab\tnewline\ncr\rbackslash\\quote''"end \u2603 \U0001F418', 'varchar', 'char', 'ä', 'ß', '\x00ff005c0a0d09', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    'infinity', '24:00:00', '23:59:59.999', '23:59:59.999999+15:59', 'infinity', 'infinity', '2026-01-01 12:34:56', '178000000 years 11 mons 30 days 23:59:59.999999', '5 days 3 hours',
    E'{"b": 1,   "a": [1, 2], "b": "dup", "u": "\\u00e9"}', '{"n": 1e400, "s": "\"quoted\"", "nil": null}', '$.a[*] ? (@ > 1)', '<a x="1">text<!-- c --></a>', B'10101010', B'',
    '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
    $v$'it''s' 'a:b':1A,2B$v$, $q$!a & (b | 'c d':*A)$q$,
    '(1e-300,-0)', '{1,2,3}', '[(0,0),(1,1)]', '(2,2),(0,0)', '((0,0),(1,1),(2,0))', '((0,0),(1,1),(2,0))', '<(0,0),5>',
    '[1,5]', '(,)', '[1.5,2.5)', '[2026-01-01,infinity)', 'empty', '["2026-01-01 00:00+00",)', '{[1,3),[5,7)}', '{}', '[1.5,2.5]', '{[1,2],(3,4)}', '["a,b","c""d")',
    4294967295, '4294967295', '18446744073709551615', '(4294967295,65535)', 'FFFFFFFF/FFFFFFFF', '10:20:10,14,15', '1 2 3', '1 2 3',
    'tables.plain', 'types.rot_in', 'types.rot_cmp(types.rot,types.rot)', 'types.!@', 'types.<(types.rot,types.rot)', 'types.colour', 'pg_read_all_data', 'tables', 'types.blind', 'english', 'simple',
    'it''s "odd"', 4, 'ABC', '{1,2}', '(1,2,3)', '(1.5,,NaN)', '("(1,2,3)","a,""b""","{x,y}")', '-5',
    '{}', '{NULL,"NULL","",a\,b,"{}"}', '{NaN,Infinity,-Infinity,1e50}', '{red,"it''s \"odd\""}', '{"(\"(1,2,3)\",l,{c})",NULL}', ARRAY['\x00'::bytea, '\xff'], '{"{\"a\": 1}",null}', ARRAY['<a/>'::xml], '{"[1,2)",empty}', '{AB,CD}', '{abc}', '{infinity,-infinity,2026-01-01 00:00:00+00}', '{::1,127.0.0.1}');
INSERT INTO types."values" (b, c1, i2, i4, i8, f4, f8, num, mon, t, vc, ch, by, d, tm, tmtz, ts, tstz, iv, j, jb, x, vb, ip, tv, pa, r4, rn, a_i, a_t, rc, o, n)
VALUES (false, '\377', -32768, -2147483648, -9223372036854775808, 'NaN', '-Infinity', 'NaN', '-92233720368547758.08', '', '', '', '', '4713-01-01 BC', '00:00', '00:00-15:59', '4713-01-01 00:00:00 BC', '-infinity', '-178000000 years', 'null', '"scalar"', 'just text', B'1', '0.0.0.0/0', '', '[(0,0),(1,1)]', 'empty', '[-Infinity,NaN)', '[-1:1][2:3]={{1,2},{3,NULL},{5,6}}', '{{a,b},{c,d}}', NULL, 0, repeat('n', 63)),
       (NULL, '', 0, 0, 0, '-0', '1e-320', '-Infinity', '0', E'\\.', E'\\N', 'x', '\x', '5874897-12-31', '12:00:00.000001', '12:00+00', '294276-12-31 23:59:59.999999', '4714-11-24 00:00:00+00 BC', '1 day -00:00:00.000001', '[]', '{}', '', B'0', 'fe80::1/10', NULL, NULL, '[-2147483648,2147483647)', '(,5]', '{{{1}}}', '{}', NULL, 1, '');
