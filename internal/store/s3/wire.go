package s3

import (
	"context"
	"net"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// newHTTPClient returns a client whose connections are cut when no byte moves
// for as long as stalled, in either direction: a slow transfer lives, a dead one
// does not hang. It speaks HTTP/1.1, because on one HTTP/2 connection the
// progress of one request would hide that another stands still. Being the
// SDK's, it takes AWS_CA_BUNDLE and does not follow redirects to other regions.
func newHTTPClient(stalled time.Duration) *awshttp.BuildableClient {
	d := &net.Dialer{Timeout: min(10*time.Second, stalled), KeepAlive: 30 * time.Second}
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := d.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &watchedConn{conn, stalled}, nil
		}
		t.ForceAttemptHTTP2 = false
		t.TLSHandshakeTimeout = d.Timeout
		t.MaxIdleConnsPerHost = 16
		t.IdleConnTimeout = min(stalled, 30*time.Second)
		t.DisableCompression = true // a body is what was stored, byte for byte
		t.WriteBufferSize = 64 << 10
		t.ReadBufferSize = 64 << 10
	})
}

// watchedConn ends reads and writes when the connection stands still.
type watchedConn struct {
	net.Conn
	stalled time.Duration
}

// Read waits for bytes. While a request is sent the transport already waits
// for its answer, so Write pushes the deadline of both.
func (c *watchedConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.stalled)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write sends in small pieces, so that a long write on a slow line is seen to
// move.
func (c *watchedConn) Write(p []byte) (int, error) {
	const piece = 64 << 10
	sent := 0
	for {
		if err := c.SetDeadline(time.Now().Add(c.stalled)); err != nil {
			return sent, err
		}
		n, err := c.Conn.Write(p[sent:min(len(p), sent+piece)])
		sent += n
		if err != nil || sent == len(p) {
			return sent, err
		}
	}
}
