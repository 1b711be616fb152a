package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/envdb/envdb"
)

func setStore(c *Config, l Loader, held string) error {
	if wrong, next := checkStoreURL(held); wrong != "" {
		return envdb.Fail(envdb.ErrMisuse, "%s", wrong).WithNext("%s", next)
	}
	c.store.url, c.store.dir, c.store.moved = text{raw: held}, l.WorkDir, true
	return nil
}

// setStoreText returns what sets one of the store's texts. What a variable
// holds has no references of its own.
func setStoreText(check func(string) (wrong, next string), field func(*storeDeclaration) *text) func(*Config, Loader, string) error {
	return func(c *Config, _ Loader, held string) error {
		if wrong, next := check(held); wrong != "" {
			return envdb.Fail(envdb.ErrMisuse, "%s", wrong).WithNext("%s", next)
		}
		*field(&c.store) = text{raw: held}
		return nil
	}
}

func setProfile(c *Config, _ Loader, held string) error {
	if !slices.Contains(Profiles(), held) {
		return envdb.Fail(envdb.ErrMisuse, "unknown profile %q", held).WithNext("use one of %s", strings.Join(Profiles(), ", "))
	}
	c.store.profile = held
	return nil
}

func setPathStyle(c *Config, _ Loader, held string) error {
	b, err := strconv.ParseBool(held)
	if err != nil {
		return envdb.Fail(envdb.ErrMisuse, "%q is neither true nor false", held).WithNext("write true or false")
	}
	c.store.pathStyle = &b
	return nil
}

// setIdentity takes a reference; its relative path begins at the working
// directory.
func setIdentity(c *Config, l Loader, held string) error {
	if wrong, next := checkIdentity(held); wrong != "" {
		return envdb.Fail(envdb.ErrMisuse, "%s", wrong).WithNext("%s", next)
	}
	c.store.identity = text{value: value{doc: &document{dir: l.WorkDir}, path: "the identity"}, raw: held}
	return nil
}

func setKeyID(c *Config, _ Loader, held string) error {
	if !keyID.MatchString(held) {
		return envdb.Fail(envdb.ErrMisuse, "is not the id of a key: 32 digits, 0 to 9 and a to f").WithNext("envdb key list shows it")
	}
	c.store.keyID = held
	return nil
}

// checkOverlaidStore refuses what a variable or a flag says of S3 where the
// store is a directory: it would be ignored.
func (c *Config) checkOverlaidStore(v *viper.Viper, flags *pflag.FlagSet) error {
	if t := c.store.url; t.empty() || isS3(t.raw) || t.doc != nil && len(t.variables()) > 0 {
		return nil
	}
	for _, o := range overlays() {
		key, ofStore := strings.CutPrefix(o.key, "store.")
		if ofStore && slices.Contains(s3Keys, key) && v.IsSet(o.key) {
			return envdb.Fail(envdb.ErrMisuse, "%s: is for S3, and the store is a directory", o.origin(flags)).WithState("nothing was changed").
				WithNext("unset it, or let the store be s3://bucket/prefix")
		}
	}
	return nil
}
