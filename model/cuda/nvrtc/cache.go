package nvrtc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
)

// cache is a folder of images by the digest of what they were made from. A file is the
// digest of the rest, then the image as JSON. It only saves time: an entry that cannot
// be read is made again, one that cannot be written is not kept.
type cache struct{ folder string } // empty: none

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (c cache) file(key string) string { return filepath.Join(c.folder, key+".cubin") }

func (c cache) get(key string) (image Image, ok bool) {
	if c.folder == "" {
		return image, false
	}
	b, err := os.ReadFile(c.file(key))
	if err != nil || len(b) < sha256.Size {
		return image, false
	}
	sum := sha256.Sum256(b[sha256.Size:])
	ok = bytes.Equal(sum[:], b[:sha256.Size]) && json.Unmarshal(b[sha256.Size:], &image) == nil
	return image, ok
}

func (c cache) put(key string, image Image) {
	b, err := json.Marshal(image)
	if err != nil || c.folder == "" || os.MkdirAll(c.folder, 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(c.folder, "new-*")
	if err != nil {
		return
	}
	sum := sha256.Sum256(b)
	_, err = f.Write(append(sum[:], b...))
	if f.Close() != nil || err != nil || os.Rename(f.Name(), c.file(key)) != nil {
		os.Remove(f.Name())
	}
}
