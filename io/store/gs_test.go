package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync/atomic"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"

	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
)

// startGS runs the bucket service in this process and points the client at it.
func startGS(t *testing.T, bucket string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	l.Close()
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		Scheme: "http", Host: "127.0.0.1", Port: uint16(address.Port),
		PublicHost: address.String(), // must be the address itself, or reads answer 404
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: bucket})
	t.Setenv("STORAGE_EMULATOR_HOST", address.String())
}

func TestGS(t *testing.T) {
	startGS(t, "conformance")
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) *store.Store {
		return mustOpen(t, fmt.Sprintf("gs://conformance/test/%d", n.Add(1)))
	})
}

// More than one request's worth of bytes is still one object, there at the end or not at all.
func TestGSLargeObject(t *testing.T) {
	startGS(t, "large")
	s := mustOpen(t, "gs://large")
	const pieces, size = 9, 2 << 20
	for _, commit := range []bool{false, true} {
		w, err := s.Create(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		for i := range pieces {
			if _, err := w.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				t.Fatal(err)
			}
		}
		if !commit {
			w.Abort()
			if got := keys(t, s, ""); len(got) != 0 {
				t.Errorf("an aborted upload left %q", got)
			}
			continue
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.ReadRange(t.Context(), "x", (pieces-1)*size-1, 2)
	if err != nil || !bytes.Equal(got, []byte{pieces - 2, pieces - 1}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestGSErrors(t *testing.T) {
	startGS(t, "errors")
	if _, err := mustOpen(t, "gs://no-such-bucket").List(t.Context(), ""); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("list of a missing bucket: %v", err)
	}
	if err := mustOpen(t, "gs://no-such-bucket").Write(t.Context(), "x", nil); err == nil {
		t.Error("written to a missing bucket")
	}
}
