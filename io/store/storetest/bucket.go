package storetest

import (
	"net"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// Bucket runs the bucket service in this process until the test ends, makes a bucket
// in it and points the client at it: gs://<bucket> opens.
func Bucket(t testing.TB, bucket string) {
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
