package nifti

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestTruncatedAnywhere cuts a file at every length.
func TestTruncatedAnywhere(t *testing.T) {
	whole := plain(1, false).bytes()
	for name, b := range map[string][]byte{"plain": whole, "gzip": gzipped(whole)} {
		for n := range b {
			for _, r := range []io.Reader{bytes.NewReader(b[:n]), io.MultiReader(bytes.NewReader(b[:n]))} {
				if _, _, err := Read(r, Options{}); !errors.Is(err, ErrTruncated) {
					t.Fatalf("%s: %d of %d bytes: %v", name, n, len(b), err)
				}
			}
		}
	}
}

// TestDamagedAnywhere changes every byte of a gzip file: its sum finds what the
// header does not.
func TestDamagedAnywhere(t *testing.T) {
	b := gzipped(plain(1, false).bytes())
	for i := range b {
		if i >= 3 && i < 10 {
			continue // name, time, system: without meaning
		}
		bad := bytes.Clone(b)
		bad[i] ^= 0x55
		_, _, err := Read(bytes.NewReader(bad), Options{MaxVoxels: 1 << 16})
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooLarge) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

func TestGzipMembersAndTails(t *testing.T) {
	whole := plain(1, false).bytes()
	cut := bytes.Join([][]byte{gzipped(whole[:100]), gzipped(whole[100:])}, nil)
	mustRead(t, cut, Options{})
	for name, tail := range map[string][]byte{"zeros": make([]byte, 512), "text": []byte("some more text"), "member": gzipped([]byte{0})} {
		_, _, err := Read(bytes.NewReader(append(gzipped(whole), tail...)), Options{})
		if !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLyingHeaderTakesLittleMemory declares 2^31-1 voxels over a few bytes.
func TestLyingHeaderTakesLittleMemory(t *testing.T) {
	r := plain(2, false)
	r.dim = []int64{3, 1<<31 - 1, 1, 1}
	r.data = make([]byte, 4<<20)
	for name, reader := range map[string]io.Reader{
		"sized":   bytes.NewReader(r.bytes()),
		"unsized": io.MultiReader(bytes.NewReader(r.bytes())),
		"gzip":    bytes.NewReader(gzipped(r.bytes())),
		"hidden":  io.MultiReader(bytes.NewReader(gzipped(r.bytes()))),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := Read(reader, Options{})
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTruncated) {
			t.Errorf("%s: %v", name, err)
		}
		// Two million voxels arrived: 8 MB as float32.
		if took := after.TotalAlloc - before.TotalAlloc; took > 100<<20 {
			t.Errorf("%s: took %d MB", name, took>>20)
		}
	}
}

func TestExtend(t *testing.T) {
	for _, n := range []int{1, 1000, trusted, trusted + 1, 10 * trusted, 64*trusted + 7} {
		var data []uint8
		steps, last := 0, -1
		for len(data) < n {
			data = extend(data, min(1<<16, n-len(data)), n)
			if cap(data) > max(trusted, 8*len(data)+8) && cap(data) != n {
				t.Fatalf("%d of %d voxels take %d", len(data), n, cap(data))
			}
			if cap(data) != last {
				steps, last = steps+1, cap(data)
			}
		}
		if cap(data) != n || steps > 8 {
			t.Errorf("%d voxels end in %d after %d steps", n, cap(data), steps)
		}
	}
}

// lost fails as a connection does, with the error that HTTP gives for it.
type lost struct{ io.Reader }

func (l lost) Read(b []byte) (int, error) {
	n, err := l.Reader.Read(b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestLostConnectionIsNotTheFilesFault(t *testing.T) {
	whole := plain(1, false).bytes()
	for _, b := range [][]byte{whole, gzipped(whole)} {
		for _, n := range []int{0, 1, 5, len(b) / 2, len(b) - 1} {
			_, _, err := Read(lost{bytes.NewReader(b[:n])}, Options{})
			if err == nil || errors.Is(err, ErrMalformed) {
				t.Errorf("%d of %d bytes: %v", n, len(b), err)
			}
		}
	}
}

func TestFileSizeIsCheckedFirst(t *testing.T) {
	r := plain(1, false)
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"short": {r.bytes()[:390], ErrTruncated},
		"long":  {append(r.bytes(), 0), ErrMismatch},
		"right": {r.bytes(), nil},
	} {
		path := filepath.Join(t.TempDir(), "case.nii")
		if err := os.WriteFile(path, c.b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadHeader(f, Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}
}
