package s3

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// OpenAs opens a store with keys of a test's own: credentials come from the
// environment, which the tests of a package share.
func OpenAs(ctx context.Context, c Config, access, secret, token string) (*Store, error) {
	st, err := Open(ctx, c)
	if err != nil {
		return nil, err
	}
	o := st.client.Options()
	o.Credentials = namedCredentials{credentials.NewStaticCredentialsProvider(access, secret, token)}
	st.client = s3.New(o)
	return st, nil
}

// PartSize is how much of an object goes into one request.
const PartSize = partSize
