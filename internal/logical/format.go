package logical

import (
	"slices"

	"github.com/jackc/pgx/v5/pgtype"
)

// portableTypes lists the types whose binary format is the same on every
// supported server, so that binary COPY can carry them. What is not listed goes
// as text: types of users and extensions, whose oids differ between databases
// and whose formats may change; and oid, the reg types and composites, whose
// binary form holds oids.
//
// The oids are those of PostgreSQL's pg_type.dat; they never change.
func portableTypes() []uint32 {
	return []uint32{
		pgtype.BoolOID, pgtype.BoolArrayOID,
		pgtype.Int2OID, pgtype.Int2ArrayOID,
		pgtype.Int4OID, pgtype.Int4ArrayOID,
		pgtype.Int8OID, pgtype.Int8ArrayOID,
		pgtype.Float4OID, pgtype.Float4ArrayOID,
		pgtype.Float8OID, pgtype.Float8ArrayOID,
		pgtype.NumericOID, pgtype.NumericArrayOID,
		pgtype.TextOID, pgtype.TextArrayOID,
		pgtype.VarcharOID, pgtype.VarcharArrayOID,
		pgtype.BPCharOID, pgtype.BPCharArrayOID,
		pgtype.QCharOID, pgtype.QCharArrayOID,
		pgtype.NameOID, pgtype.NameArrayOID,
		pgtype.ByteaOID, pgtype.ByteaArrayOID,
		pgtype.UUIDOID, pgtype.UUIDArrayOID,
		pgtype.DateOID, pgtype.DateArrayOID,
		pgtype.TimeOID, pgtype.TimeArrayOID,
		pgtype.TimetzOID, pgtype.TimetzArrayOID,
		pgtype.TimestampOID, pgtype.TimestampArrayOID,
		pgtype.TimestamptzOID, pgtype.TimestamptzArrayOID,
		pgtype.IntervalOID, pgtype.IntervalArrayOID,
		pgtype.JSONOID, pgtype.JSONArrayOID,
		pgtype.JSONBOID, pgtype.JSONBArrayOID,
		pgtype.InetOID, pgtype.InetArrayOID,
		pgtype.CIDROID, pgtype.CIDRArrayOID,
		pgtype.MacaddrOID, pgtype.MacaddrArrayOID,
		pgtype.Macaddr8OID,
		pgtype.BitOID, pgtype.BitArrayOID,
		pgtype.VarbitOID, pgtype.VarbitArrayOID,
	}
}

// portable reports whether a type is among the portable ones.
func portable(oid uint32) bool { return slices.Contains(portableTypes(), oid) }
