package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// people is one table of what is private: five columns of it are masked.
func (s scale) people() database {
	return database{name: "people", what: "five columns of one table", fill: []string{
		`CREATE TABLE people (
			id bigint PRIMARY KEY, email text NOT NULL, name text NOT NULL, phone varchar(20), street text NOT NULL, born date NOT NULL,
			joined timestamptz NOT NULL, plan text NOT NULL, profile jsonb NOT NULL)`,
		fmt.Sprintf(`INSERT INTO people SELECT i,
			'user' || i || '.' || left(md5(i::text), 6) || '@example.com',
			initcap(left(md5('first' || i), 5 + i %% 4)) || ' ' || initcap(left(md5('last' || i), 6 + i %% 5)),
			'+49 30 ' || lpad((i::bigint * 7919 %% 9999999)::text, 7, '0'),
			initcap(left(md5('street' || i), 9)) || ' ' || i %% 200, date '1950-01-01' + i %% 20000,
			timestamptz '2020-01-01 00:00+00' + i * interval '97 seconds', (ARRAY['free', 'pro', 'team'])[1 + i %% 3], %s
			FROM generate_series(1, %d) i`, payload("i::text"), s.persons),
		`CREATE UNIQUE INDEX people_email ON people (email)`,
		`CREATE INDEX people_name ON people (name)`,
	}}
}

// maskRules are the rules of the five columns.
const maskRules = `tables:
  people: {email: email, name: name, phone: phone, street: address, born: {shift_date: 30d}}
`

// maskings measures a mirror that masks beside the same one that does not.
func (b *bench) maskings(ctx context.Context, rounds int) (_ []result, err error) {
	db := b.scale.people()
	want, err := readContent(ctx, b.source.URL(db.name))
	if err != nil {
		return nil, err
	}
	at, err := b.backedUp(ctx, db)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, at.remove()) }()
	mirror := at.envdb("mirror", "prod", "copy")
	masked, err := at.masking(mirror)
	if err != nil {
		return nil, err
	}
	steps, plainSteps := stepTimes{}, stepTimes{}
	list, err := b.compete(ctx, rounds, []contender{
		b.copying("envdb mirror, masking", &check{want: want, done: true}, at, steps, masked),
		b.copying("envdb mirror", &check{want: want, done: true}, at, plainSteps, mirror),
	})
	if err != nil {
		return nil, err
	}
	if err := b.refuseRaw(ctx, at, masked); err != nil {
		return nil, err
	}
	ratio := list[1].faster(list[0])
	facts := append(steps.facts(), fact{"steps without masking", plainSteps.facts()[0].value})
	return []result{{
		work: "mirror that masks", on: db.what, series: list, facts: facts,
		verdict: verdict{target: "1.30× the time without masking or less", got: fmt.Sprintf("%.2f×", ratio), met: ratio <= 1.3},
	}}, nil
}

// masking returns a command of the site under a configuration that masks.
func (s *site) masking(c command) (command, error) {
	file := filepath.Join(s.dir, "masking.yaml")
	s.mask = "mask: {rules: mask.yaml, secret: env:MASK_SECRET}"
	text := s.configuration()
	s.mask = ""
	c.env = append([]string{"ENVDB_CONFIG=" + file, "MASK_SECRET=a secret of the benchmark"}, c.env[1:]...)
	return c, errors.Join(
		os.WriteFile(file, []byte(text), 0o600),
		os.WriteFile(filepath.Join(s.dir, "mask.yaml"), []byte(maskRules), 0o600))
}

// refuseRaw masks once more, and fails if a raw value is there.
func (b *bench) refuseRaw(ctx context.Context, at *site, masked command) error {
	if err := b.dropAll(ctx); err != nil {
		return err
	}
	if _, err := run(ctx, masked); err != nil {
		return err
	}
	found, err := queryText(ctx, b.target.URL(at.db.name), "SELECT count(*) FROM people WHERE email LIKE '%example.com' OR phone NOT LIKE '+999%'")
	if err == nil && found[0] != "0" {
		err = fmt.Errorf("%s rows are not masked", found[0])
	}
	return err
}
