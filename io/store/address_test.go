package store_test

import (
	"errors"
	"testing"

	"noisystudent/io/store"
)

func TestSplit(t *testing.T) {
	for _, test := range []struct{ address, root, key string }{
		{"gs://b/a/x", "gs://b/a", "x"},
		{"gs://b/x", "gs://b", "x"},
		{"mem://m/a/b/x.nii.gz", "mem://m/a/b", "x.nii.gz"},
		{"/dir/x", "/dir", "x"},
		{"/x", "/", "x"},
		{"x", ".", "x"},
		{"../a/x", "../a", "x"},
		{"./a//x", "a", "x"},
	} {
		root, key, err := store.Split(test.address)
		if err != nil || root != test.root || key != test.key {
			t.Errorf("%s: %q, %q, %v", test.address, root, key, err)
		}
	}
	for address, want := range map[string]error{
		"": store.ErrKey, "/": store.ErrKey, "a/": store.ErrKey, "a/..": store.ErrKey, ".": store.ErrKey, "gs://b/": store.ErrKey,
		"gs://b": store.ErrUnsupported, "gs:///x": store.ErrUnsupported, "gs://": store.ErrUnsupported,
		"s3://b/x": store.ErrUnsupported, "http://h/x": store.ErrUnsupported,
		"gs://b/../x": store.ErrKey, "gs://../a/x": store.ErrUnsupported, "gs://b/.store-a/x": store.ErrKey,
	} {
		if root, key, err := store.Split(address); !errors.Is(err, want) {
			t.Errorf("%s: %q, %q, error %v, want %v", address, root, key, err, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, root := range []string{"", "s3://b", "gs://", "gs:///a", "mem://", "mem://a/../b", "gs://b/a//c", "gs://b//"} {
		if s, err := store.Open(t.Context(), root); err == nil {
			t.Errorf("%q opened as %s", root, s.Root())
		}
	}
}
