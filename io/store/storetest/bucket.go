package storetest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// Bucket runs the bucket service in this process until the test ends, makes a bucket
// in it and points the client at it: gs://<bucket> opens.
func Bucket(t testing.TB, bucket string) *Service {
	t.Helper()
	front := httptest.NewUnstartedServer(nil)
	address := front.Listener.Addr().String()
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener: true, ExternalURL: "http://" + address,
		PublicHost: address, // must be the address itself, or reads answer 404
	})
	if err != nil {
		t.Fatal(err)
	}
	server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: bucket})
	s := &Service{handler: server.HTTPHandler(), leave: make(chan struct{})}
	front.Config.Handler = s
	front.Start()
	t.Cleanup(func() {
		close(s.leave)
		front.CloseClientConnections()
		front.Close()
		server.Stop()
	})
	t.Setenv("STORAGE_EMULATOR_HOST", address)
	return s
}

// Ill is what becomes of a request.
type Ill int

const (
	Well      Ill = iota
	Busy          // 503, and nothing is done
	Cut           // the connection is reset, and nothing is done
	Lost          // it is done, and the connection is reset before the answer
	Truncated     // it is done, and the connection is reset in the middle of the answer
	Stalled       // it is done, and the answer stops in its middle
	Denied        // 403
	Stranger      // 401
	Moved         // 301
)

// Service is a bucket service whose answers a test may spoil.
type Service struct {
	handler http.Handler
	leave   chan struct{} // closed at the end
	mu      sync.Mutex
	spoil   func(*http.Request) Ill
	spoiled atomic.Int64
	asked   atomic.Int64
	sent    atomic.Int64
}

// Spoil asks f about every request from now on, one at a time; nil leaves them well.
func (s *Service) Spoil(f func(*http.Request) Ill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = f
}

// Some spoils a share of all requests, drawn from a seed, in one of some ways.
func Some(share float64, ways ...Ill) func(*http.Request) Ill {
	r := rand.New(rand.NewPCG(1, 2))
	return func(*http.Request) Ill {
		if r.Float64() >= share {
			return Well
		}
		return ways[r.IntN(len(ways))]
	}
}

// Once spoils the first request that is such as match says.
func (s *Service) Once(way Ill, match func(*http.Request) bool) {
	done := false
	s.Spoil(func(r *http.Request) Ill {
		if done || !match(r) {
			return Well
		}
		done = true
		return way
	})
}

// Spoiled is the number of requests that were spoiled, Asked of all.
func (s *Service) Spoiled() int64 { return s.spoiled.Load() }
func (s *Service) Asked() int64   { return s.asked.Load() }

// Sent is the number of bytes of objects that were read.
func (s *Service) Sent() int64 { return s.sent.Load() }

// Upload and Download tell the requests that carry an object's bytes.
func Upload(r *http.Request) bool {
	return r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, "/upload/")
}

func Download(r *http.Request) bool {
	return r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/storage/")
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	way := Well
	s.mu.Lock()
	if s.spoil != nil {
		way = s.spoil(r)
	}
	s.mu.Unlock()
	if way != Well {
		s.spoiled.Add(1)
	}
	switch way {
	case Busy:
		http.Error(w, "try again", http.StatusServiceUnavailable)
	case Denied:
		http.Error(w, "who@example.com does not have access", http.StatusForbidden)
	case Stranger:
		http.Error(w, "who are you", http.StatusUnauthorized)
	case Moved:
		http.Redirect(w, r, "http://elsewhere.example.com/", http.StatusMovedPermanently)
	case Cut:
		io.Copy(io.Discard, r.Body) // so that the client is told, not left writing
		panic(http.ErrAbortHandler)
	default:
		s.answer(w, r, way)
	}
}

// answer lets the service answer and sends as much of it as the way allows.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, way Ill) {
	var a httptest.ResponseRecorder
	a.Body = new(bytes.Buffer)
	s.handler.ServeHTTP(&a, r)
	body := a.Body.Bytes()
	if way == Lost {
		panic(http.ErrAbortHandler)
	}
	for name, values := range a.Header() {
		w.Header()[name] = values
	}
	if way == Well {
		if Download(r) {
			s.sent.Add(int64(len(body)))
		}
		w.WriteHeader(a.Code)
		w.Write(body)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.Code)
	w.Write(body[:len(body)/2])
	w.(http.Flusher).Flush()
	if way == Stalled {
		select {
		case <-r.Context().Done():
		case <-s.leave:
		}
	}
	panic(http.ErrAbortHandler)
}
