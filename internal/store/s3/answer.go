package s3

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// class is what an error means for repeating the call.
type class int

const (
	refused   class = iota // no repetition will change it
	throttled              // the endpoint asks to slow down
	unsound                // no answer, half an answer, or an internal error
	conflict               // another write of the key is under way
	clock                  // the request's time is not the endpoint's
)

// answer is an error of S3, taken apart.
type answer struct {
	class      class
	code       string // S3's, or ""
	status     int    // HTTP's, or 0 if there was no answer
	answered   bool   // an S3 endpoint answered, whatever it said
	request    string // the id that the endpoint's owner can look up
	retryAfter time.Duration
	err        error
}

// classes are the codes that are repeated whatever their status is.
var classes = map[string]class{
	"SlowDown": throttled, "Throttling": throttled, "ThrottlingException": throttled, "TooManyRequests": throttled,
	"RequestLimitExceeded": throttled, "RequestThrottled": throttled, "ServiceUnavailable": throttled,
	"InternalError": unsound, "RequestTimeout": unsound, "IncompleteBody": unsound, "BadDigest": unsound,
	"XAmzContentSHA256Mismatch": unsound, "XAmzContentChecksumMismatch": unsound,
	"ConditionalRequestConflict": conflict, "OperationAborted": conflict,
	"RequestTimeTooSkewed": clock,
}

// statuses are those that are repeated if their code says nothing.
var statuses = map[int]class{
	http.StatusTooManyRequests: throttled, http.StatusServiceUnavailable: throttled,
	http.StatusInternalServerError: unsound, http.StatusBadGateway: unsound, http.StatusGatewayTimeout: unsound, http.StatusRequestTimeout: unsound,
	http.StatusConflict: conflict,
}

// judge takes an error apart.
func judge(err error) answer {
	a := answer{err: err}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		a.status, a.request = response.HTTPStatusCode(), response.ServiceRequestID()
		if response.Response != nil {
			a.retryAfter = retryAfter(response.Response.Header)
		}
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		a.code = api.ErrorCode()
	}
	a.answered = a.status != 0
	a.class = a.classify()
	return a
}

func (a answer) classify() class {
	if c, known := classes[a.code]; known {
		return c
	}
	var credentials *credentialsError
	var sent *smithyhttp.RequestSendError
	var half *smithy.DeserializationError
	switch {
	case errors.As(a.err, &credentials):
		return refused
	case a.status >= 300:
		return statuses[a.status] // refused if it is not there
	case a.status != 0, errors.As(a.err, &sent), errors.As(a.err, &half), errors.Is(a.err, errUnsound):
		return unsound // an answer that breaks off, or none
	}
	return refused // not sent: the request itself is at fault
}

// errUnsound marks a successful answer that cannot be true.
var errUnsound = errors.New("the answer is incomplete")

// reason returns what to say in a log of why a call is repeated.
func (a answer) reason() string {
	if a.code != "" {
		return a.code
	}
	if a.status >= 300 {
		return strconv.Itoa(a.status) + " " + http.StatusText(a.status)
	}
	return rootOf(a.err).Error()
}

// rootOf returns the innermost error: what the SDK wraps around it repeats the
// operation and the request's ids.
func rootOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// retryAfter reads the header, in its form of seconds.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
