package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/envdb/envdb/internal/store/gateway"
)

// bucket is a bucket of an S3 server on this machine, behind a proxy that
// counts the calls.
type bucket struct {
	name, endpoint, region string
	env                    []string // the credentials

	server *gateway.Gateway
	dir    string
	proxy  http.Server
	served sync.WaitGroup
	mu     sync.Mutex
	calls  map[string]int
}

// newBucket starts the server and the proxy.
func (b *bench) newBucket(ctx context.Context) (*bucket, error) {
	program, err := run(ctx, command{program: "bash", args: []string{filepath.Join(".ci", "versitygw", "build")}})
	if err != nil {
		return nil, err
	}
	k := &bucket{name: "bench", region: gateway.Region, dir: filepath.Join(b.work, "s3"), calls: map[string]int{}}
	k.server, err = gateway.Start(ctx, gateway.Options{Program: strings.TrimSpace(string(program.Output)), Dir: k.dir})
	if err != nil {
		return nil, err
	}
	k.env = k.server.Env()
	if err := k.server.CreateBucket(k.name); err != nil {
		return nil, errors.Join(err, k.stop())
	}
	if err := k.count(); err != nil {
		return nil, errors.Join(err, k.stop())
	}
	return k, nil
}

// count puts the proxy in front of the server.
func (k *bucket) count() error {
	behind, err := url.Parse(k.server.URL())
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("proxy of the S3 server: %w", err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.Out.Host = r.In.Host // it is part of what was signed
	}}
	k.endpoint = "http://" + listener.Addr().String()
	k.proxy.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		k.calls[operation(r)]++
		k.mu.Unlock()
		forward.ServeHTTP(w, r)
	})
	k.served.Go(func() { _ = k.proxy.Serve(listener) }) // it ends when it is shut down
	return nil
}

// operation names a request as S3's documentation does.
func operation(r *http.Request) string {
	query := r.URL.Query()
	object := strings.Count(strings.Trim(r.URL.Path, "/"), "/") > 0
	switch {
	case r.Method == http.MethodPut && query.Has("partNumber"):
		return "UploadPart"
	case r.Method == http.MethodPut && object:
		return "PutObject"
	case r.Method == http.MethodPost && query.Has("uploads"):
		return "CreateMultipartUpload"
	case r.Method == http.MethodPost && query.Has("uploadId"):
		return "CompleteMultipartUpload"
	case r.Method == http.MethodPost && query.Has("delete"):
		return "DeleteObjects"
	case r.Method == http.MethodDelete && query.Has("uploadId"):
		return "AbortMultipartUpload"
	case r.Method == http.MethodDelete && object:
		return "DeleteObject"
	case r.Method == http.MethodGet && query.Has("list-type"):
		return "ListObjectsV2"
	case r.Method == http.MethodGet && query.Has("uploads"):
		return "ListMultipartUploads"
	case r.Method == http.MethodGet && object:
		return "GetObject"
	case r.Method == http.MethodHead && object:
		return "HeadObject"
	}
	return r.Method + " of a bucket"
}

// counted returns the calls since the last time.
func (k *bucket) counted() map[string]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	since := k.calls
	k.calls = map[string]int{}
	return since
}

// stop ends proxy and server, and removes the bucket.
func (k *bucket) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := k.proxy.Shutdown(ctx)
	k.served.Wait()
	return errors.Join(err, k.server.Stop(), os.RemoveAll(k.dir))
}
