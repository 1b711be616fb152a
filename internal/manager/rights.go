package manager

import (
	"errors"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/postgres"
)

// The role for production only reads: that is what makes backups safe. What a
// person confirmed to be done beside or to what is live there needs more, for
// one command. To grant it to that role would be wrong twice: it would have it
// for ever, and what it makes would belong to it and not to the tables' owner.

// withRights says of an error that comes from the rights of a protected
// environment's role to repeat the command as a superuser.
func withRights(env config.Environment, err error, command string) error {
	if err == nil || !env.Protected() || !lacksRights(err) {
		return err
	}
	p := envdb.Fail(nil, "%w", err)
	if env.URLVariable == "" {
		return p.WithNext("the same with a superuser's url for %s, for this one command: %s", env.Name, command)
	}
	return p.WithNext("the same as a superuser, for this one command: %s='<the url of a superuser>' %s", env.URLVariable, command)
}

// insufficientPrivilege is PostgreSQL's SQLSTATE for what a role may not do.
const insufficientPrivilege = "42501"

// lacksRights reports whether another role could do what failed.
func lacksRights(err error) bool {
	return errors.Is(err, generation.ErrRole) || postgres.SQLState(err) == insufficientPrivilege
}
