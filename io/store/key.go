package store

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
)

// reserved begins the names of temporary files; no element of a key may begin so.
const reserved = ".store-"

const (
	maxKeyBytes     = 1024 // what Google Cloud Storage allows for a name
	maxElementBytes = 255  // what file systems allow
)

// checkKey refuses what could leave the root or what one of the backends cannot hold.
func checkKey(key string) error {
	if key == "." || !fs.ValidPath(key) {
		return fmt.Errorf("%w %.100q: not a relative slash path", ErrKey, key)
	}
	if len(key) > maxKeyBytes {
		return fmt.Errorf("%w %.100q...: longer than %d bytes", ErrKey, key, maxKeyBytes)
	}
	for _, r := range key {
		if r < ' ' || r == 0x7f || r == '\\' {
			return fmt.Errorf("%w %.100q: holds the character %q", ErrKey, key, r)
		}
	}
	for element := range strings.SplitSeq(key, "/") {
		if strings.HasPrefix(element, reserved) {
			return fmt.Errorf("%w %.100q: names that begin with %s are reserved", ErrKey, key, reserved)
		}
		if len(element) > maxElementBytes {
			return fmt.Errorf("%w %.100q: a name longer than %d bytes", ErrKey, key, maxElementBytes)
		}
	}
	return nil
}

// checkPrefix accepts the beginnings of valid keys that end at an element or within one.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return checkKey(strings.TrimSuffix(prefix, "/"))
}

// parseRoot takes an address without key apart. A local path has no scheme.
func parseRoot(root string) (scheme, bucket, prefix string, err error) {
	scheme, rest, found := strings.Cut(root, "://")
	if !found {
		if root == "" {
			return "", "", "", fmt.Errorf("%w: empty", ErrUnsupported)
		}
		return "", "", "", nil
	}
	if scheme != "gs" && scheme != "mem" {
		return "", "", "", fmt.Errorf("%w: scheme %s:// is not known, only folders, gs:// and mem://", ErrUnsupported, scheme)
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	if checkKey(bucket) != nil {
		return "", "", "", fmt.Errorf("%w: no valid name after %s://", ErrUnsupported, scheme)
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix != "" {
		err = checkKey(prefix)
	}
	return scheme, bucket, prefix, err
}

// Split takes the address of one object apart into a root for Open and a key: gs://b/a/x is gs://b/a and x, /dir/x is
// /dir and x, and a name without a slash lies in the working directory.
func Split(address string) (root, key string, err error) {
	if scheme, rest, found := strings.Cut(address, "://"); found {
		i := max(strings.LastIndexByte(rest, '/'), 0)
		root, key = scheme+"://"+rest[:i], strings.TrimPrefix(rest[i:], "/")
	} else {
		root, key = filepath.Split(address)
		root = filepath.Clean(root)
	}
	if _, _, _, err := parseRoot(root); err != nil {
		return "", "", fmt.Errorf("store: split %s: %w", address, err)
	}
	if err := checkKey(key); err != nil {
		return "", "", fmt.Errorf("store: split %s: %w", address, err)
	}
	return root, key, nil
}

// ReadAddress returns the whole object at a full address.
func ReadAddress(ctx context.Context, address string) ([]byte, error) {
	s, key, err := openSplit(ctx, address)
	if err != nil {
		return nil, err
	}
	return s.Read(ctx, key)
}

// OpenAddress returns the object at a full address as a stream, which the caller closes.
func OpenAddress(ctx context.Context, address string) (io.ReadCloser, error) {
	s, key, err := openSplit(ctx, address)
	if err != nil {
		return nil, err
	}
	return s.Open(ctx, key)
}

func openSplit(ctx context.Context, address string) (*Store, string, error) {
	root, key, err := Split(address)
	if err != nil {
		return nil, "", err
	}
	s, err := Open(ctx, root)
	return s, key, err
}
