package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

// probe is one pass over what an endpoint can do.
type probe struct {
	store    *Store
	folder   string
	written  []string
	first    envdb.Tag // of the object "a", once it was written
	noDelete bool
}

// check is one thing to try. It returns what there is to say, or why not.
type check struct {
	name   string
	needed bool
	try    func(context.Context) (string, error)
}

// checks are in an order in which each builds on those before it.
func (p *probe) checks() []check {
	conditions := p.store.config.SingleWriter == ""
	return []check{
		{"write", true, p.write},
		{"read after write", true, p.readBack},
		{"list after write", true, p.listBack},
		{"byte ranges", true, p.ranges},
		{"metadata", false, p.metadata},
		{"conditional create", conditions, p.create},
		{"conditional replace", conditions, p.replace},
		{"conditional race", conditions, p.race},
		{"multipart", true, p.multipart},
		{"conditional multipart", false, p.conditionalMultipart},
		{"checksums", false, p.checksums},
		{"delete", true, p.delete},
		{"latency", false, p.latency},
	}
}

const probeText = "envdb probes what this endpoint can do"

// put writes an object of the probe by one request.
func (p *probe) put(ctx context.Context, name, text string, change func(*s3.PutObjectInput)) (envdb.Tag, error) {
	key := p.folder + name
	if !slices.Contains(p.written, key) {
		p.written = append(p.written, key)
	}
	return p.send(ctx, key, text, change)
}

func (p *probe) send(ctx context.Context, key, text string, change func(*s3.PutObjectInput)) (envdb.Tag, error) {
	op := &operation{name: "PutObject", verb: "write", key: key, size: int64(len(text))}
	out, err := call(ctx, p.store, op, func(ctx context.Context) (*s3.PutObjectOutput, error) {
		in := &s3.PutObjectInput{
			Bucket: &p.store.config.Bucket, Key: aws.String(p.store.prefix + key), Body: strings.NewReader(text), Metadata: map[string]string{nonceName: p.folder},
		}
		if change != nil {
			change(in)
		}
		return p.store.client.PutObject(ctx, in)
	})
	if err != nil {
		return "", err
	}
	return tagOf(out.ETag), nil
}

func (p *probe) get(ctx context.Context, name string, span envdb.Span) (string, error) {
	b := &body{store: p.store, ctx: ctx, key: p.folder + name, name: p.store.prefix + p.folder + name}
	if err := b.open(span); err != nil {
		return "", err
	}
	text, err := io.ReadAll(b)
	return string(text), errors.Join(err, b.Close())
}

func (p *probe) write(ctx context.Context) (_ string, err error) {
	p.first, err = p.put(ctx, "a", probeText, nil)
	return "", err
}

func (p *probe) readBack(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	for i := range 3 {
		want := fmt.Sprint(probeText, i)
		tag, err := p.put(ctx, "a", want, nil)
		if err != nil {
			return "", err
		}
		if got, err := p.get(ctx, "a", envdb.Span{}); err != nil || got != want {
			return "", errors.Join(err, fmt.Errorf("the endpoint returned %q, after %q had been written", got, want))
		}
		p.first = tag
	}
	return "", nil
}

func (p *probe) listBack(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	l := &listing{store: p.store, prefix: p.folder, folder: p.store.prefix}
	page, err := l.page(ctx)
	if err == nil && len(page) != 1 {
		err = fmt.Errorf("the listing has %d objects where one was written", len(page))
	}
	return "", err
}

func (p *probe) ranges(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	got, err := p.get(ctx, "a", envdb.Span{Offset: 6, Length: 6})
	if err == nil && got != probeText[6:12] {
		err = fmt.Errorf("the endpoint returned %q for a range that holds %q", got, probeText[6:12])
	}
	return "", err
}

func (p *probe) metadata(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	object, err := p.store.head(ctx, p.folder+"a", p.store.prefix+p.folder+"a")
	if err == nil && object.nonce != p.folder {
		err = errors.New("the endpoint does not keep metadata: after a lost answer envdb cannot tell its own write from another's")
	}
	return "", err
}

// refuses wants a request to have failed on its condition.
func refuses(err error, header string) (string, error) {
	switch {
	case errors.Is(err, envdb.ErrCondition), isMissing(err):
		return "", nil
	case err == nil:
		return "", fmt.Errorf("the endpoint ignores %s", header)
	}
	return "", fmt.Errorf("the endpoint does not take %s: %w", header, err)
}

func ifAbsent(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }

func ifMatch(tag envdb.Tag) func(*s3.PutObjectInput) {
	return func(in *s3.PutObjectInput) { in.IfMatch = aws.String(string(tag)) }
}

func (p *probe) create(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	if _, err := p.put(ctx, "new", probeText, ifAbsent); err != nil {
		return refuses(err, "If-None-Match")
	}
	_, err := p.put(ctx, "new", probeText, ifAbsent)
	return refuses(err, "If-None-Match")
}

func (p *probe) replace(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	second, err := p.put(ctx, "a", "second", ifMatch(p.first))
	if err != nil {
		return "", fmt.Errorf("the endpoint does not replace an object by its tag: %w", err)
	}
	stale := p.first
	p.first = second
	if _, err = p.put(ctx, "a", "third", ifMatch(stale)); err == nil {
		return refuses(nil, "If-Match")
	}
	if _, err := refuses(err, "If-Match"); err != nil {
		return "", err
	}
	_, err = p.put(ctx, "none", "fourth", ifMatch(stale))
	return refuses(err, "If-Match where there is no object")
}

// race lets several create one object at once: one must win.
func (p *probe) race(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	const racers = 8
	var winners atomic.Int32
	key := p.folder + "race"
	p.written = append(p.written, key)
	group, ctx := errgroup.WithContext(ctx)
	for range racers {
		group.Go(func() error {
			_, err := p.send(ctx, key, rand.Text(), ifAbsent)
			if err == nil {
				winners.Add(1)
			}
			if errors.Is(err, envdb.ErrCondition) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	if n := winners.Load(); n != 1 {
		return "", fmt.Errorf("%d of %d writers created the same object at once", n, racers)
	}
	return "", nil
}

// assemble writes an object of one part.
func (p *probe) assemble(ctx context.Context, name string, cond envdb.Condition) error {
	u := &upload{store: p.store, key: p.folder + name, name: p.store.prefix + p.folder + name, cond: cond, nonce: p.folder}
	p.written = append(p.written, u.key)
	bucket := &p.store.config.Bucket
	begin := &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &u.name, Metadata: map[string]string{nonceName: u.nonce}}
	if p.store.traits.checksums {
		begin.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32
	}
	if _, err := u.CreateMultipartUpload(ctx, begin); err != nil {
		return err
	}
	one := aws.Int32(1)
	part, err := u.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: &u.name, UploadId: u.id, PartNumber: one, Body: strings.NewReader(probeText)})
	if err != nil {
		return errors.Join(err, u.abort(ctx))
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: &u.name, UploadId: u.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: part.ETag, PartNumber: one, ChecksumCRC32: part.ChecksumCRC32}}},
	}
	if cond.Absent() {
		in.IfNoneMatch = aws.String("*")
	}
	op := &operation{name: "CompleteMultipartUpload", verb: "write", key: u.key}
	_, err = call(ctx, p.store, op, func(ctx context.Context) (*s3.CompleteMultipartUploadOutput, error) {
		return p.store.client.CompleteMultipartUpload(ctx, in)
	})
	if err != nil {
		return errors.Join(err, u.abort(ctx))
	}
	return nil
}

func (p *probe) multipart(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	if err := p.assemble(ctx, "parts", envdb.Condition{}); err != nil {
		return "", err
	}
	got, err := p.get(ctx, "parts", envdb.Span{})
	if err == nil && got != probeText {
		err = fmt.Errorf("the endpoint returned %q, after %q had been written", got, probeText)
	}
	return "", err
}

func (p *probe) conditionalMultipart(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	_, err := refuses(p.assemble(ctx, "a", envdb.IfAbsent()), "If-None-Match")
	if err != nil && !p.store.traits.conditionalComplete {
		return "", fmt.Errorf("%w; envdb looks just before it completes an upload instead, as the profile %s says", err, p.store.traits.name)
	}
	if err == nil && !p.store.traits.conditionalComplete {
		return fmt.Sprintf("not used, as the profile %s does not count on it", p.store.traits.name), nil
	}
	return "", err
}

func (p *probe) checksums(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	var taken []string
	for _, algorithm := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha256} {
		if _, err := p.put(ctx, "sum", probeText, func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = algorithm }); err == nil {
			taken = append(taken, string(algorithm))
		}
	}
	switch {
	case len(taken) == 0:
		return "", errors.New("the endpoint takes none; bodies are covered by their signature")
	case !p.store.traits.checksums:
		return fmt.Sprintf("%s; not used, as the profile %s does not count on them", strings.Join(taken, ", "), p.store.traits.name), nil
	}
	return strings.Join(taken, ", "), nil
}

func (p *probe) delete(ctx context.Context) (string, error) {
	if p.first == "" {
		return "", errUntried
	}
	key := p.folder + "a"
	if err := p.store.remove(ctx, key, p.store.prefix+key); err != nil {
		p.noDelete = true
		return "", err
	}
	if _, err := p.get(ctx, "a", envdb.Span{}); !isMissing(err) {
		return "", errors.Join(errors.New("a deleted object is still there"), err)
	}
	return "", nil
}

// latency asks for something small several times.
func (p *probe) latency(ctx context.Context) (string, error) {
	const times = 5
	took := make([]time.Duration, times)
	for i := range took {
		begun := time.Now()
		if _, err := p.store.head(ctx, p.folder+"none", p.store.prefix+p.folder+"none"); err != nil && !isMissing(err) {
			return "", err
		}
		took[i] = time.Since(begun)
	}
	slices.Sort(took)
	return took[times/2].Round(100 * time.Microsecond).String(), nil
}
