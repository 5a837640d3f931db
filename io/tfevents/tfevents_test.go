package tfevents

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var curve = []Scalar{
	{"loss/total", 0, 1e9, 1.5},
	{"dsc/ema", 0, 1e9, 0.25},
	{"loss/total", 1, 1e9 + 60, -0.5},
	{"dsc/ema", 1, 1e9 + 60, 0},
	{"loss/total", 300, 2e9, -1},
}

func TestEncodeAndDecode(t *testing.T) {
	for n := range len(curve) + 1 {
		got, err := Decode(Encode(5, curve[:n]))
		if d := cmp.Diff(slices.Clip(curve[:n]), append([]Scalar{}, got...)); err != nil || d != "" {
			t.Errorf("%d scalars: %v\n%s", n, err, d)
		}
	}
}

// A file that has grown begins with what it was.
func TestMoreScalarsLengthenTheFile(t *testing.T) {
	if short, long := Encode(5, curve[:2]), Encode(5, curve); !bytes.HasPrefix(long, short) || len(long) <= len(short) {
		t.Error("the first records are others")
	}
}

// The bytes that TensorBoard 2.21.0's EventFileWriter gives an event of wall_time 1 and
// step 2 with the scalar a = 0.5, length and checksums with it.
func TestBytesAreTensorBoards(t *testing.T) {
	const record = "1700000000000000e7cef81e09000000000000f03f10022a0a0a080a0161150000003f400ae3a6"
	if got := hex.EncodeToString(Encode(0, []Scalar{{"a", 2, 1, 0.5}})); !strings.HasSuffix(got, record) {
		t.Errorf("%s does not end with %s", got, record)
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	file := Encode(5, curve)
	for i := range file {
		damaged := slices.Clone(file)
		damaged[i] ^= 0x10
		if _, err := Decode(damaged); !errors.Is(err, ErrMalformed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	whole := 0
	for n := range file {
		if _, err := Decode(file[:n]); err == nil {
			whole++
		} else if !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if whole != 4 { // nothing, the version, and two events
		t.Errorf("cut after any byte, %d files are whole", whole)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(5, curve))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 1<<16 {
			return
		}
		list, err := Decode(file)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%v", err)
			}
			return
		}
		if again, err := Decode(Encode(0, list)); err != nil || len(again) != len(list) {
			t.Errorf("%d scalars, written and read %d: %v", len(list), len(again), err)
		}
	})
}

// TensorBoard reads what Encode writes.
func TestTensorBoardReadsIt(t *testing.T) {
	python := os.Getenv("NOISYSTUDENT_PYTHON")
	if python == "" {
		t.Skip("NOISYSTUDENT_PYTHON names no Python with tensorboard")
	}
	file := filepath.Join(t.TempDir(), Name)
	if err := os.WriteFile(file, Encode(5, curve), 0o644); err != nil {
		t.Fatal(err)
	}
	const program = `
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1]); a.Reload()
for tag in sorted(a.Tags()["scalars"]):
    for e in a.Scalars(tag): print(tag, e.step, e.wall_time, e.value)
`
	out, err := exec.Command(python, "-c", program, file).Output()
	want := "dsc/ema 0 1000000000.0 0.25\ndsc/ema 1 1000000060.0 0.0\nloss/total 0 1000000000.0 1.5\nloss/total 1 1000000060.0 -0.5\nloss/total 300 2000000000.0 -1.0\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}
