package cluster

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, folder string) (list []string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		list = append(list, f.Name())
	}
	return list
}

// A folder is there when all of it is; a try that fails leaves what it has for the next.
func TestOnce(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "jars")
	cut := errors.New("the line was cut")
	err := once(t.Context(), folder, func(_ context.Context, part string, _ func(string)) error {
		write(t, filepath.Join(part, "a"), "a")
		return cut
	}, nil)
	if !errors.Is(err, cut) || exists(folder) {
		t.Errorf("%v", err)
	}
	err = once(t.Context(), folder, func(_ context.Context, part string, _ func(string)) error {
		write(t, filepath.Join(part, "b"), "b")
		return nil
	}, nil)
	if got := names(t, folder); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v, %v", got, err)
	}
	if err := once(t.Context(), folder, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	folder := t.TempDir()
	sums := "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a.jar\n" +
		"3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d  b.jar\n"
	write(t, filepath.Join(folder, "a.jar"), "a")
	write(t, filepath.Join(folder, "b.jar"), "b")
	if err := check(folder, sums); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(folder, "b.jar"), "other bytes")
	write(t, filepath.Join(folder, "c.jar"), "c")
	err := check(folder, sums)
	if err == nil || !strings.Contains(err.Error(), "b.jar, c.jar") {
		t.Errorf("%v", err)
	}
	if got := names(t, folder); !slices.Equal(got, []string{"a.jar"}) {
		t.Errorf("left: %v", got)
	}
}

// What pip gives must be the archive that was tried.
func TestFetchFlinkChecksTheArchive(t *testing.T) {
	bin, folder := alone(t), t.TempDir()
	script(t, bin, "pip", `while [ "$1" != --dest ]; do shift; done; echo other > "$2/`+flinkArchive+`"`)
	err := tools{pip: tool{"pip"}}.fetchFlink(t.Context(), folder, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "not "+flinkSHA256) || exists(filepath.Join(folder, flinkArchive)) {
		t.Errorf("%v", err)
	}
}

func TestUnpack(t *testing.T) {
	folder := t.TempDir()
	archive := filepath.Join(folder, "a.tar.gz")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for _, name := range []string{"x/deps/lib/flink-dist-1.jar", "x/deps/lib/log4j-api.jar", "x/deps/lib/flink-table.jar", "x/deps/opt/flink-dist-2.jar", "x/deps/lib/../../../flink-dist-3"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("j")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close(), f.Close(), unpack(archive, folder)); err != nil {
		t.Fatal(err)
	}
	if got := names(t, folder); !slices.Equal(got, []string{"a.tar.gz", "flink-dist-1.jar", "log4j-api.jar"}) {
		t.Errorf("%v", got)
	}
}

// Jobs ship an empty program to a cluster of ours, and one with Beam's jars to others.
func TestProgram(t *testing.T) {
	folder, beam := t.TempDir(), t.TempDir()
	writeJar(t, filepath.Join(beam, serverJar), serverClass, knownClass(0))
	for _, c := range []struct {
		master string
		want   []string
	}{
		{"", []string{"META-INF/MANIFEST.MF"}},
		{"flink:8081", []string{"META-INF/MANIFEST.MF", "lib/local.jar", "lib/" + serverJar}},
	} {
		s := starting{Options: Options{Folder: folder, Master: c.master}, jars: jars{beam: beam}, state: State{REST: "flink:8081"}}
		if err := s.writeConfig(); err != nil {
			t.Fatal(err)
		}
		jar, err := zip.OpenReader(s.program())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range jar.File {
			got = append(got, f.Name)
		}
		if jar.Close(); !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.master, got, c.want)
		}
		if _, beams, _ := strings.Cut(strings.Join(s.arguments(jobServer), " "), beam); (beams != "") != (c.master == "") {
			t.Errorf("%q: arguments %v", c.master, s.arguments(jobServer))
		}
	}
}
