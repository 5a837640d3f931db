package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
)

// What is wrong with a bucket as a whole. Each error says what to do about it. No permission is fs.ErrPermission, of a
// bucket as of a folder.
var (
	ErrBucket      = errors.New("no such bucket")
	ErrCredentials = errors.New("not logged in")
	ErrElsewhere   = errors.New("the bucket is served elsewhere")
	ErrUnavailable = errors.New("the service cannot be used now")
)

const logIn = "run `gcloud auth application-default login`, or name the key file of a service account in GOOGLE_APPLICATION_CREDENTIALS"

// Systemic tells of an error that concerns a whole bucket and not the object that was asked for, so that to go on with
// other objects has no purpose.
func Systemic(err error) bool {
	for _, kind := range []error{ErrBucket, ErrCredentials, ErrElsewhere, ErrUnavailable} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// fail names an error of the service, with what to do about it. A missing object may be a missing bucket, which the
// service says only to who lists it.
func (g *gs) fail(ctx context.Context, err error) error {
	err = gsError(g.name, err)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, known := g.client.buckets.Load(g.name); known {
		return err
	}
	if missing := g.probe(ctx); errors.Is(missing, ErrBucket) {
		return missing
	}
	g.client.buckets.Store(g.name, true)
	return err
}

// gsError gives an error of the storage library the name that callers ask for.
func gsError(bucket string, err error) error {
	var api *googleapi.Error
	code := 0
	if errors.As(err, &api) {
		code = api.Code
	}
	named := func(kind error, remedy string) error {
		return fmt.Errorf("%w: gs://%s: %s; %s", kind, bucket, said(err), remedy)
	}
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, storage.ErrObjectNotExist):
		return fs.ErrNotExist
	case code == http.StatusPreconditionFailed:
		return ErrGeneration
	case code == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	case code == http.StatusNotFound, errors.Is(err, storage.ErrBucketNotExist):
		return named(ErrBucket, "check its name, or make it: `gcloud storage buckets create gs://"+bucket+"`")
	case code == http.StatusUnauthorized, strings.Contains(err.Error(), "oauth2"):
		return named(ErrCredentials, logIn)
	case code == http.StatusForbidden:
		return named(fs.ErrPermission, "give this account roles/storage.objectUser on the bucket; roles/storage.objectViewer suffices for what is only read")
	case code >= 300 && code < 400:
		return named(ErrElsewhere, "check the name of the bucket, and that no proxy or endpoint of another region stands between")
	case unavailable(err, code):
		return named(ErrUnavailable, "check the connection; the same command goes on later")
	}
	return err
}

// unavailable tells of errors that were tried again in vain.
func unavailable(err error, code int) bool {
	var network net.Error
	var request *url.Error
	switch {
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return true
	case errors.As(err, &network), errors.As(err, &request), errors.As(err, new(stalled)):
		return true
	}
	return storage.ShouldRetry(err)
}

// said is what the service said, in one short line.
func said(err error) string {
	var api *googleapi.Error
	if !errors.As(err, &api) {
		return strings.Join(strings.Fields(err.Error()), " ")
	}
	text := api.Message
	if text == "" {
		text = api.Body
	}
	if to := api.Header.Get("Location"); to != "" {
		text += " to " + to
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = text[:300] + "..."
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", api.Code, http.StatusText(api.Code), text))
}
