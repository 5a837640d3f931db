package cpu

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

// TestGenerated demands that the assembly and its declarations come from the
// generator as it stands in _asm.
func TestGenerated(t *testing.T) {
	names, err := filepath.Glob("kernels_*_amd64.go")
	must(t, err)
	if len(names) == 0 {
		t.Fatal("no generated kernels")
	}
	sources := sourcesDigest(t)
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		header := regexp.MustCompile(`// Sources: sha256 (\w+)\n// Assembly: sha256 (\w+)\n`).FindSubmatch(text)
		if header == nil {
			t.Fatalf("%s names no digests", name)
		}
		if sources != string(header[1]) {
			t.Errorf("_asm has changed since %s was generated: run go generate ./model/cpu", name)
		}
		assembly, err := os.ReadFile(strings.TrimSuffix(name, ".go") + ".s")
		must(t, err)
		if got := fmt.Sprintf("%x", sha256.Sum256(assembly)); got != string(header[2]) {
			t.Errorf("the assembly of %s is not what the generator wrote: run go generate ./model/cpu", name)
		}
	}
}

// sourcesDigest is Digest of _asm, which is a module of its own.
func sourcesDigest(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("_asm/*.go")
	must(t, err)
	sort.Strings(names)
	h := sha256.New()
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		fmt.Fprintf(h, "%s %d\n%s", filepath.Base(name), len(text), text)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
