package store_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
)

// passing are the ills of a request that its next try does not have.
var passing = map[string]storetest.Ill{
	"busy": storetest.Busy, "cut": storetest.Cut, "lost": storetest.Lost, "truncated": storetest.Truncated, "stalled": storetest.Stalled,
}

// TestGSIll runs the conformance suite on a service that spoils some of its requests. Where an answer to a conditional
// write is lost and another writer comes between, nobody can know who was first: the writers' race must do without.
func TestGSIll(t *testing.T) {
	service := storetest.Bucket(t, "ill")
	store.Hurry(t, 8, time.Second)
	uploads := storetest.Some(0.15, storetest.Busy, storetest.Cut)
	others := storetest.Some(0.15, storetest.Busy, storetest.Cut, storetest.Lost, storetest.Truncated)
	service.Spoil(func(r *http.Request) storetest.Ill {
		if storetest.Upload(r) {
			return uploads(r)
		}
		return others(r)
	})
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) *store.Store {
		return mustOpen(t, fmt.Sprintf("gs://ill/test/%d", n.Add(1)))
	})
	if service.Spoiled() < 50 {
		t.Errorf("only %d of %d requests were spoiled", service.Spoiled(), service.Asked())
	}
}

// Each kind of write and read gets through each ill, with the right bytes and one generation.
func TestGSTriesAgain(t *testing.T) {
	service := storetest.Bucket(t, "again")
	store.Hurry(t, 8, 200*time.Millisecond)
	s := mustOpen(t, "gs://again")
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for name, way := range passing {
		first := storetest.Upload
		for kind, write := range map[string]func(key string) error{
			"write":             func(key string) error { return s.Write(t.Context(), key, large) },
			"conditional write": func(key string) error { _, err := s.WriteIf(t.Context(), key, large, 0); return err },
			"replacement": func(key string) error {
				service.Spoil(nil)
				if err := s.Write(t.Context(), key, []byte("old")); err != nil {
					return err
				}
				service.Once(way, first)
				return s.Write(t.Context(), key, large)
			},
			"write in pieces": func(key string) error { return inPieces(t, s, key, large) },
		} {
			key := name + "/" + kind
			service.Once(way, first)
			spoiled := service.Spoiled()
			if err := write(key); err != nil {
				t.Errorf("%s: %v", key, err)
				continue
			}
			if service.Spoiled() != spoiled+1 {
				t.Errorf("%s: no request was spoiled", key)
			}
			service.Once(way, storetest.Download)
			if got, err := s.Read(t.Context(), key); err != nil || !bytes.Equal(got, large) {
				t.Errorf("read after %s: %d bytes, %v", key, len(got), err)
			}
			service.Once(way, storetest.Download)
			if got, err := s.ReadRange(t.Context(), key, 15, 1<<19); err != nil || !bytes.Equal(got, large[15:15+1<<19]) {
				t.Errorf("range after %s: %d bytes, %v", key, len(got), err)
			}
			service.Once(way, func(r *http.Request) bool { return r.Method == http.MethodDelete })
			if err := s.Remove(t.Context(), key); err != nil {
				t.Errorf("remove after %s: %v", key, err)
			}
			if _, err := s.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s was removed: %v", key, err)
			}
		}
	}
}

func inPieces(t *testing.T, s *store.Store, key string, data []byte) error {
	w, err := s.Create(t.Context(), key)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Commit()
}

// A resumable upload goes on with the chunk that failed.
func TestGSChunkTriesAgain(t *testing.T) {
	service := storetest.Bucket(t, "chunks")
	store.Hurry(t, 8, 5*time.Second)
	s := mustOpen(t, "gs://chunks")
	data := bytes.Repeat([]byte("0123456789abcdef"), 35<<16) // 35 MiB: three chunks
	var tried []string
	service.Spoil(func(r *http.Request) storetest.Ill {
		if part := r.Header.Get("Content-Range"); part != "" {
			tried = append(tried, part)
			if len(tried) == 2 {
				return storetest.Busy
			}
		}
		return storetest.Well
	})
	if err := inPieces(t, s, "x", data); err != nil {
		t.Fatal(err)
	}
	if len(tried) != 4 || tried[1] != tried[2] || !strings.HasPrefix(tried[1], "bytes 16777216-33554431/") {
		t.Errorf("sent the chunks %q", tried)
	}
	if got, err := s.Read(t.Context(), "x"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A conditional write whose try has reached the bucket is not refused for its own sake, but for another's it is.
func TestGSOwnWrite(t *testing.T) {
	service := storetest.Bucket(t, "own")
	store.Hurry(t, 8, time.Second)
	s := mustOpen(t, "gs://own")
	service.Once(storetest.Lost, storetest.Upload)
	generation, err := s.WriteIf(t.Context(), "lock", []byte("mine"), 0)
	info, failure := s.Stat(t.Context(), "lock")
	if err != nil || failure != nil || info.Generation != generation {
		t.Errorf("wrote %d, %v; there is %d, %v", generation, err, info.Generation, failure)
	}
	service.Once(storetest.Cut, storetest.Upload)
	if _, err := s.WriteIf(t.Context(), "lock", []byte("theirs"), 0); !errors.Is(err, store.ErrGeneration) {
		t.Errorf("took a lock that is held: %v", err)
	}
	if got, err := s.Read(t.Context(), "lock"); err != nil || string(got) != "mine" {
		t.Errorf("%q, %v", got, err)
	}
}

// What does not pass ends in an error that names the address, the kind and the remedy, soon, and leaves nothing.
func TestGSRefusals(t *testing.T) {
	service := storetest.Bucket(t, "refused")
	store.Hurry(t, 3, 100*time.Millisecond)
	s := mustOpen(t, "gs://refused/store")
	for _, c := range []struct {
		way    storetest.Ill
		kind   error
		remedy string
	}{
		{storetest.Busy, store.ErrUnavailable, "the same command goes on later"},
		{storetest.Cut, store.ErrUnavailable, "the same command goes on later"},
		{storetest.Stalled, store.ErrUnavailable, "the same command goes on later"},
		{storetest.Denied, fs.ErrPermission, "roles/storage.objectUser"},
		{storetest.Stranger, store.ErrCredentials, "gcloud auth application-default login"},
		{storetest.Moved, store.ErrElsewhere, "http://elsewhere.example.com/"},
	} {
		if err := s.Write(t.Context(), "old", []byte("old")); err != nil {
			t.Fatal(err)
		}
		service.Spoil(func(*http.Request) storetest.Ill { return c.way })
		start := time.Now()
		_, read := s.Read(t.Context(), "old")
		_, span := s.ReadRange(t.Context(), "old", 1, 2)
		_, stat := s.Stat(t.Context(), "old")
		_, list := s.List(t.Context(), "")
		_, written := s.WriteIf(t.Context(), "new", []byte("new"), 0)
		for what, err := range map[string]error{
			"read": read, "range": span, "stat": stat, "list": list, "conditional write": written,
			"write": s.Write(t.Context(), "old", []byte("new")), "write in pieces": inPieces(t, s, "new", []byte("new")), "remove": s.Remove(t.Context(), "old"),
		} {
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.remedy) || !strings.Contains(err.Error(), "gs://refused/store") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %v: %v", what, c.kind, err)
			}
			if store.Systemic(err) != (c.kind != fs.ErrPermission) {
				t.Errorf("%s: systemic is %v", what, store.Systemic(err))
			}
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%v: took %v", c.kind, took)
		}
		service.Spoil(nil)
		if c.way == storetest.Stalled { // who is never answered does not know; what is there is whole
			if got, err := s.Read(t.Context(), "new"); err != nil || string(got) != "new" {
				t.Errorf("%v left %q, %v", c.kind, got, err)
			}
			s.Remove(t.Context(), "new")
			continue
		}
		if got := keys(t, s, ""); len(got) != 1 || got[0] != "old" {
			t.Errorf("%v left %q", c.kind, got)
		}
		if got, err := s.Read(t.Context(), "old"); err != nil || string(got) != "old" {
			t.Errorf("%v left %q, %v", c.kind, got, err)
		}
	}
}

// A missing bucket is told as such by every call, not as a missing object.
func TestGSMissingBucket(t *testing.T) {
	storetest.Bucket(t, "there")
	s := mustOpen(t, "gs://no-such-bucket/store")
	_, read := s.Read(t.Context(), "x")
	_, stat := s.Stat(t.Context(), "x")
	_, list := s.List(t.Context(), "")
	for what, err := range map[string]error{
		"read": read, "stat": stat, "list": list,
		"write": s.Write(t.Context(), "x", nil), "write in pieces": inPieces(t, s, "x", nil), "remove": s.Remove(t.Context(), "x"),
	} {
		if !errors.Is(err, store.ErrBucket) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "gcloud storage buckets create gs://no-such-bucket") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A reader that is slow itself is not taken for a connection that has stalled.
func TestGSSlowReader(t *testing.T) {
	storetest.Bucket(t, "slow")
	store.Hurry(t, 8, 500*time.Millisecond)
	s := mustOpen(t, "gs://slow")
	data := bytes.Repeat([]byte("x"), 1<<20)
	if err := s.Write(t.Context(), "x", data); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(800 * time.Millisecond)
	if rest, err := io.ReadAll(r); err != nil || len(rest) != len(data)-10 {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
}

// Without a login, or with one that cannot be read, the first thing that is opened says so.
func TestGSWithoutLogin(t *testing.T) {
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "absent.json"))
	if _, err := store.Open(t.Context(), "gs://bucket"); !errors.Is(err, store.ErrCredentials) || !strings.Contains(err.Error(), "gcloud auth application-default login") {
		t.Errorf("%v", err)
	}
}

// A service account's key is taken without asking anybody.
func TestGSWithKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": string(private),
		"client_email": "worker@p.iam.gserviceaccount.com", "client_id": "1", "token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	s, err := store.Open(t.Context(), "gs://bucket/store")
	if err != nil || s.Root() != "gs://bucket/store" {
		t.Errorf("%v", err)
	}
}
