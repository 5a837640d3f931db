package incoming

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noisystudent/io/dicom/dicomtest"
)

// slicesOf are the files of a series whose voxels depend on a seed.
func slicesOf(seed int) (files []string) {
	s := dicomtest.Series{UID: "1.2.3", Shape: [3]int{4, 2, 2}, Spacing: [3]float64{5, 1, 1}, Value: func(z, y, x int) int { return seed + z + y + x }}
	for _, slice := range s.Slices() {
		files = append(files, string(slice.Bytes()))
	}
	return files
}

func (w *ward) slices(folder string, files []string) {
	w.Helper()
	if err := os.MkdirAll(filepath.Join(w.folder, folder), 0o755); err != nil {
		w.Fatal(err)
	}
	for i, text := range files {
		w.put(fmt.Sprintf("%s/%d", folder, i), text)
	}
}

// A series is labelled once all its slices stand still, in size and in number.
func TestLookWaitsForAllSlices(t *testing.T) {
	w := newWard(t)
	w.Settle = 300 * time.Millisecond
	files := slicesOf(0)
	w.slices("anna", files[:2])
	w.slices("bert", files[:3])
	w.put("bert/3", files[3][:len(files[3])-2])
	w.slices("carl", files)
	more := time.AfterFunc(100*time.Millisecond, func() {
		w.put("anna/2", files[2]) // one more
		w.put("bert/3", files[3]) // one that grows
	})
	s := w.expect("arriving", "carl")
	more.Stop()
	if got := strings.Join(s.Waiting, " "); got != "anna bert" || s.Seen != 3 {
		t.Errorf("%q are waiting of %d", got, s.Seen)
	}
	w.Settle = 20 * time.Millisecond
	w.put("anna/3", files[3])
	w.expect("arrived, and the same scan as carl's", "carl:anna+bert")
	start := time.Now()
	w.Settle = time.Hour // which nothing that is known waits for
	if s := w.expect("nothing new", ""); s.UpToDate != 3 || time.Since(start) > time.Minute {
		t.Errorf("%+v", s)
	}
	w.Settle = 20 * time.Millisecond
	w.put("bert/3", slicesOf(7)[3])
	w.expect("one slice replaced", "bert")
	packed := map[string][]byte{}
	for i, text := range files {
		packed[fmt.Sprintf("IM%d", 9-i)] = []byte(text)
	}
	w.put("dora.zip", string(dicomtest.Zip(packed)))
	w.expect("the same scan in an archive", "carl:dora")
	for i := range files {
		w.remove(fmt.Sprintf("carl/%d", i))
	}
	if s := w.expect("gone", ""); strings.Join(s.Removed, " ") != "carl" {
		t.Errorf("removed %v", s.Removed)
	}
	for i, text := range files { // under another name in the same folder
		w.put(fmt.Sprintf("anna/IM%d", i), text)
		w.remove(fmt.Sprintf("anna/%d", i))
	}
	if s := w.expect("renamed slices", ""); s.UpToDate != 3 {
		t.Errorf("%+v", s)
	}
}
