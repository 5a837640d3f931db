package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
	htransport "google.golang.org/api/transport/http"
)

// patience is how long buckets are waited for. With these numbers a service that does not answer is given up after half a
// minute to a minute and a half.
var patience = struct {
	first, longest time.Duration // between two tries: a random time up to first, then up to twice as much, at most up to longest
	tries          int           // of one request
	quiet          time.Duration // after which a request that gets on by no byte is tried again
	total          time.Duration // without a byte, after which a read or a piece of an upload has failed
}{100 * time.Millisecond, 30 * time.Second, 10, 30 * time.Second, 3 * time.Minute}

// retries says how a request is tried again: only what cannot do harm twice, which a write is by the generation that it is
// to replace. Handles take it one by one, since a handle that inherits a policy changes it for all others.
func retries() []storage.RetryOption {
	return []storage.RetryOption{
		storage.WithPolicy(storage.RetryIdempotent),
		storage.WithBackoff(gax.Backoff{Initial: patience.first, Max: patience.longest, Multiplier: 2}),
		storage.WithMaxAttempts(patience.tries),
	}
}

// gsClients are the clients of this process by emulator address (empty: the real service). A client is safe for
// concurrent use and holds the connections, so all stores share one; it lives as long as the process.
var gsClients struct {
	sync.Mutex
	byHost map[string]*gsClient
}

type gsClient struct {
	*storage.Client
	buckets sync.Map // names of those that are known to exist
}

func clientOfGS(ctx context.Context) (*gsClient, error) {
	gsClients.Lock()
	defer gsClients.Unlock()
	host := os.Getenv("STORAGE_EMULATOR_HOST")
	if c := gsClients.byHost[host]; c != nil {
		return c, nil
	}
	// The client outlives the call that happens to be the first.
	c, err := newGSClient(context.WithoutCancel(ctx), host != "")
	if err != nil {
		return nil, err
	}
	if gsClients.byHost == nil {
		gsClients.byHost = map[string]*gsClient{}
	}
	gsClients.byHost[host] = c
	return c, nil
}

func newGSClient(ctx context.Context, emulated bool) (*gsClient, error) {
	access := option.WithScopes(storage.ScopeReadWrite)
	if emulated {
		access = option.WithoutAuthentication()
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = 100 // chunks are read in parallel
	t, err := htransport.NewTransport(ctx, watched{base}, access)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; %s", ErrCredentials, err, logIn)
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the service never redirects a request well meant
	c, err := storage.NewClient(ctx, option.WithHTTPClient(&http.Client{Transport: t, CheckRedirect: stay}))
	if err != nil {
		return nil, err
	}
	return &gsClient{Client: c}, nil
}

// stalled is the error of a request that got on by no byte for patience.quiet. The storage library tries it again.
type stalled struct{}

func (stalled) Error() string {
	return "no byte went over the connection for " + patience.quiet.String()
}
func (stalled) Temporary() bool { return true }

// watched ends requests that have stalled, whether in what they send, in waiting for the answer or in its body.
type watched struct{ base http.RoundTripper }

func (t watched) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	w := &watch{ctx: ctx, cancel: cancel, timer: time.AfterFunc(patience.quiet, func() { cancel(stalled{}) })}
	r = r.Clone(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		body := &sending{ReadCloser: r.Body, watch: w}
		r.Body = body
		defer body.end()
	}
	answer, err := t.base.RoundTrip(r)
	w.timer.Stop()
	if err != nil {
		err = w.cause(err)
		cancel(nil)
		return nil, err
	}
	answer.Body = receiving{answer.Body, w}
	if r.Method != http.MethodGet {
		return whole(answer)
	}
	return answer, nil
}

// whole reads the short answer to an upload, so that one that is cut off is an error of the request and tried again.
func whole(answer *http.Response) (*http.Response, error) {
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

type watch struct {
	ctx    context.Context // of one request
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// cause puts the stall in the place of what it led to.
func (w *watch) cause(err error) error {
	if err != nil && context.Cause(w.ctx) == error(stalled{}) {
		return stalled{}
	}
	return err
}

// sending is the body of a request: the connection asks for more when it has sent what it had. It ends with the answer, also
// one that came before all was sent, since the library then uses the memory again.
type sending struct {
	io.ReadCloser
	watch *watch
	mu    sync.Mutex
	over  bool
}

func (b *sending) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, io.ErrClosedPipe
	}
	b.watch.timer.Reset(patience.quiet)
	return b.ReadCloser.Read(p)
}

func (b *sending) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}

// receiving is the body of an answer. The time that its reader takes between two reads does not count.
type receiving struct {
	io.ReadCloser
	watch *watch
}

func (b receiving) Read(p []byte) (int, error) {
	b.watch.timer.Reset(patience.quiet)
	defer b.watch.timer.Stop()
	n, err := b.ReadCloser.Read(p)
	if err != io.EOF {
		err = b.watch.cause(err)
	}
	return n, err
}

func (b receiving) Close() error {
	defer b.watch.cancel(nil)
	b.watch.timer.Stop()
	return b.ReadCloser.Close()
}
