package main

import (
	"bufio"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The house: which layer may import which of ours. A package belongs to the
// longest prefix that matches; it may import its own layer and the ones named.
var layers = []struct {
	prefix string
	may    []string
}{
	{"main", []string{"pipelines/command", "runners", "runners/worker"}},
	{"io/volume", nil},
	{"io/store", nil},
	{"io", []string{"io/volume", "io/store"}},
	{"model/random", nil},
	{"model/program", nil},
	{"model", []string{"model/random", "model/program"}},
	{"transforms", []string{"io", "io/volume", "io/store", "model", "model/random", "model/program"}},
	{"runners", nil},
	{"pipelines", []string{"transforms", "runners", "io", "io/volume", "io/store", "model", "model/random", "model/program"}},
	{"pipelines/command", []string{"pipelines", "transforms", "runners", "io", "io/volume", "io/store", "model", "model/random", "model/program"}},
}

// Which files may import a library that we keep in one place.
var confined = []struct {
	module string
	files  string // regular expression over slash paths
}{
	{"github.com/apache/beam", `^(transforms/[^/]+/beam\.go|pipelines/.*|runners/.*)$`},
	{"gorgonia.org", `^model/(op|unet|loss|compile)/`},
	{"github.com/ebitengine/purego", `^model/cuda/`},
	{"cloud.google.com", `^(io/store|runners/dataflow)/`},
	{"github.com/spf13/cobra", `^pipelines/command/`},
	{"github.com/suyashkumar/dicom", `^io/dicom/`},
	{"github.com/prometheus", `^pipelines/command/`},
	{"github.com/chromedp", `^$`},
	{"gonum.org/v1/plot", `^transforms/(efficiency|report)/`},
	{"google.golang.org/protobuf", `^io/tfevents/`},
	{"flag", `^(main\.go|runners/.*|model/device/devicetest/main\.go)$`},
}

// Direct dependencies, each with its reason.
var allowed = map[string]string{
	"cloud.google.com/go/storage":         "gs:// addresses; asked for",
	"github.com/apache/beam/sdks/v2":      "pipelines, Prism, Flink and Dataflow; asked for",
	"github.com/chromedp/cdproto":         "tests only: the protocol's types for chromedp",
	"github.com/chromedp/chromedp":        "tests only: drives headless Chromium; kept (v0.23.1 of 2026-11), MIT, 4 MB with cdproto",
	"github.com/chewxy/hm":                "the type words of Gorgonia's op interface",
	"github.com/ebitengine/purego":        "calls into libcuda and NVRTC without cgo",
	"github.com/fsouza/fake-gcs-server":   "tests only: the storage protocol in process",
	"github.com/google/go-cmp":            "tests only: readable differences of structs",
	"github.com/googleapis/gax-go/v2":     "type of the storage client's backoff",
	"github.com/klauspost/cpuid/v2":       "whose CPU it is: bfloat16 is fast on AMD's only; x/sys/cpu does not say",
	"github.com/klauspost/compress":       "gzip and zstd, the fastest in Go; asked for",
	"github.com/parquet-go/parquet-go":    "tables that data tools read, typed and compressed",
	"github.com/prometheus/client_golang": "/metrics in the format that monitoring reads",
	"github.com/schollz/progressbar/v3":   "progress bars on a terminal",
	"github.com/spf13/cobra":              "commands and their help",
	"github.com/suyashkumar/dicom":        "values of DICOM elements, their dictionary, and the writer of tests",
	"golang.org/x/sys":                    "CPU features, huge pages, memory of this process",
	"golang.org/x/term":                   "is the output a terminal",
	"google.golang.org/api":               "options of the storage client",
	"google.golang.org/protobuf":          "the wire format of TensorBoard event files; Beam brings it anyway, so it weighs nothing",
	"gonum.org/v1/plot":                   "PNG curves of efficiency: kept (v0.17.0 of 2025-09), BSD-3; 32 MB of downloads, 7 MB of the binary, no time at start",
	"gorgonia.org/gorgonia":               "graph and symbolic gradients; asked for",
	"gorgonia.org/tensor":                 "value types of Gorgonia's ops",
}

type sourceFile struct {
	path    string // slash path from the root
	pkg     string // folder, or "main"
	doc     bool   // has a package comment
	imports []string
}

func sources(t *testing.T) []sourceFile {
	t.Helper()
	var list []sourceFile
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		s := sourceFile{path: filepath.ToSlash(p), pkg: path.Dir(filepath.ToSlash(p)), doc: f.Doc != nil}
		if s.pkg == "." {
			s.pkg = "main"
		}
		for _, i := range f.Imports {
			value, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, value)
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Fatalf("found %d source files; the walk is broken", len(list))
	}
	return list
}

func layer(pkg string) string {
	best := ""
	for _, l := range layers {
		if (pkg == l.prefix || strings.HasPrefix(pkg, l.prefix+"/")) && len(l.prefix) > len(best) {
			best = l.prefix
		}
	}
	return best
}

func TestImportsFollowTheLayers(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasPrefix(s.pkg, "io/") && strings.Count(s.path, "/") < 2 {
			t.Errorf("%s: no package sits directly in io/", s.path)
		}
		own := layer(s.pkg)
		if own == "" {
			t.Errorf("%s: package %s is in no layer of the table", s.path, s.pkg)
			continue
		}
		i := slices.IndexFunc(layers, func(l struct {
			prefix string
			may    []string
		},
		) bool {
			return l.prefix == own
		})
		for _, name := range s.imports {
			ours, found := strings.CutPrefix(name, "noisystudent/")
			if !found {
				continue
			}
			if to := layer(ours); to != own && !slices.Contains(layers[i].may, to) {
				t.Errorf("%s: layer %s must not import %s (layer %s)", s.path, own, ours, to)
			}
		}
	}
}

func TestLibrariesStayWhereTheyBelong(t *testing.T) {
	for _, s := range sources(t) {
		for _, c := range confined {
			if regexp.MustCompile(c.files).MatchString(s.path) {
				continue
			}
			for _, name := range s.imports {
				if name == c.module || strings.HasPrefix(name, c.module+"/") {
					t.Errorf("%s imports %s, which is kept to %s", s.path, name, c.files)
				}
			}
		}
	}
}

func TestOnlyMainExits(t *testing.T) {
	exit := regexp.MustCompile(`\bos\.Exit\(|\blog\.Fatal`)
	for _, s := range sources(t) {
		body, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		if s.path != "main.go" && exit.Match(body) {
			t.Errorf("%s ends the process; only main.go may", s.path)
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		documented[s.pkg] = documented[s.pkg] || s.doc
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

// A test-only or unlisted module that slips into go.mod costs every user's first
// build, so that each direct one states its reason here.
func TestDependenciesAreAllowed(t *testing.T) {
	f, err := os.Open("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := regexp.MustCompile(`^\s*(?:require )?(\S+) (v\S+)( // indirect)?$`)
	direct, pinned := map[string]bool{}, false
	for scan := bufio.NewScanner(f); scan.Scan(); {
		m := line.FindStringSubmatch(scan.Text())
		if m == nil {
			continue
		}
		if m[1] == "go4.org/unsafe/assume-no-moving-gc" {
			pinned = m[2] == "v0.0.0-20231121144256-b99613f794b6"
		}
		if m[3] != "" {
			continue
		}
		direct[m[1]] = true
		if allowed[m[1]] == "" {
			t.Errorf("go.mod requires %s, which has no reason in the allow-list", m[1])
		}
	}
	if !pinned {
		t.Error("assume-no-moving-gc is not pinned to b99613f794b6: Gorgonia would panic on this Go")
	}
	for name := range allowed {
		if !direct[name] {
			t.Errorf("%s is in the allow-list but not in go.mod", name)
		}
	}
}
