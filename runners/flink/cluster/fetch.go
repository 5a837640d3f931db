package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// What is fetched, and the digests that it must have.
const (
	flinkVersion = "1.19.3" // on PyPI, whose package of libraries is Flink's distribution
	flinkArchive = "apache-flink-libraries-" + flinkVersion + ".tar.gz"
	flinkSHA256  = "4a58e3a1fb7d83340bc96b6c080624c6d792d69fae5d294b96224775204a9c60"
	flinkMB      = 230
)

var (
	//go:embed pom.xml
	pom []byte
	//go:embed jobserver.sha256
	beamSums string // as sha256sum writes them
)

// jars are two folders of jars.
type jars struct{ flink, beam string }

// path is the class path of Flink. Its own jar comes first: it holds the logging
// interface that fits its logger.
func (j jars) path() string {
	first, _ := filepath.Glob(filepath.Join(j.flink, "flink-dist-*.jar"))
	list := append(first, filepath.Join(j.flink, "*"))
	return strings.Join(list, string(os.PathListSeparator))
}

// fetch returns Flink's and Beam's jars, after fetching what is not in the cache.
func (o Options) fetch(ctx context.Context) (jars, error) {
	base, err := cache()
	if err != nil {
		return jars{}, err
	}
	j := jars{flink: filepath.Join(base, "flink-"+flinkVersion), beam: filepath.Join(base, beamFolder())}
	if o.Home != "" {
		j.flink = filepath.Join(o.Home, "lib")
		if found, _ := filepath.Glob(filepath.Join(j.flink, "flink-dist-1.19.*.jar")); len(found) == 0 {
			return jars{}, fmt.Errorf("flink: no flink-dist-1.19.*.jar in %s; the job server needs Flink 1.19: correct FLINK_HOME, or unset it to have one fetched", j.flink)
		}
	}
	tools, err := findTools(!exists(j.flink), !exists(j.beam))
	if err != nil {
		return jars{}, err
	}
	if err := once(ctx, j.flink, tools.fetchFlink, o.Note); err != nil {
		return jars{}, err
	}
	return j, once(ctx, j.beam, tools.fetchBeam, o.Note)
}

// beamFolder is named by what is in it.
func beamFolder() string {
	digest := sha256.Sum256([]byte(beamSums))
	return "flink-jobserver-" + hex.EncodeToString(digest[:4])
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// once makes a folder, whole or not at all: fill works in a folder beside it, which
// stays where it fails, so that the next try goes on from there.
func once(ctx context.Context, folder string, fill func(ctx context.Context, folder string, note func(string)) error, note func(string)) error {
	if exists(folder) {
		return nil
	}
	part := folder + ".part"
	if err := os.MkdirAll(part, 0o755); err != nil {
		return fmt.Errorf("flink: %w", err)
	}
	if err := fill(ctx, part, note); err != nil {
		return err
	}
	if err := os.Rename(part, folder); err != nil {
		return fmt.Errorf("flink: %w", err)
	}
	return nil
}

// fetchFlink has pip download Flink and keeps the jars that a cluster needs: Flink
// itself and its logger, not its tables and Scala.
func (t tools) fetchFlink(ctx context.Context, folder string, note func(string)) error {
	archive := filepath.Join(folder, flinkArchive)
	tmp := filepath.Join(folder, "tmp")
	if digest, _ := digestOf(archive); digest != flinkSHA256 {
		if err := os.MkdirAll(tmp, 0o755); err != nil {
			return fmt.Errorf("flink: %w", err)
		}
		cmd := t.pip.command(ctx, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:",
			"--dest", folder, "apache-flink-libraries=="+flinkVersion)
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
		progress := func() string { return fmt.Sprintf("%d of %d MB", megabytes(folder, flinkArchive), flinkMB) }
		if err := follow(ctx, cmd, "download Flink "+flinkVersion+" with pip", progress, note); err != nil {
			return err
		}
	}
	digest, err := digestOf(archive)
	if err != nil {
		return fmt.Errorf("flink: %w", err)
	}
	if digest != flinkSHA256 {
		os.Remove(archive)
		return fmt.Errorf("flink: %s has the sha256 %s, not %s; it was removed: try again, and ask who runs the package index if it comes back", archive, digest, flinkSHA256)
	}
	note("flink: unpack Flink")
	if err := unpack(archive, folder); err != nil {
		return fmt.Errorf("flink: unpack %s: %w", archive, err)
	}
	return errors.Join(os.Remove(archive), os.RemoveAll(tmp))
}

// unpack writes those jars of a .tar.gz that a cluster needs into a folder.
func unpack(archive, folder string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for files := tar.NewReader(plain); ; {
		h, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Base(h.Name)
		if path.Base(path.Dir(h.Name)) != "lib" || !strings.HasPrefix(name, "flink-dist-") && !strings.HasPrefix(name, "log4j-") {
			continue
		}
		w, err := os.Create(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, files); err != nil {
			w.Close()
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
}

// fetchBeam has Maven put the job server and all that it needs into a folder.
func (t tools) fetchBeam(ctx context.Context, folder string, note func(string)) error {
	project := filepath.Join(folder, "pom.xml")
	if err := os.WriteFile(project, pom, 0o644); err != nil {
		return fmt.Errorf("flink: %w", err)
	}
	cmd := t.mvn.command(ctx, "--batch-mode", "--file", project, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+folder)
	var out lines
	cmd.Stdout = &out
	progress := func() string { return fmt.Sprintf("%d files downloaded", out.count("Downloaded ")) }
	if err := follow(ctx, cmd, "download Beam's job server with Maven", progress, note); err != nil {
		return fmt.Errorf("%w\n%s", err, out.errors())
	}
	if err := check(folder, beamSums); err != nil {
		return err
	}
	return os.Remove(project)
}

// check compares the jars of a folder with their digests, and removes those that are
// not what they should be.
func check(folder, sums string) error {
	var wrong []string
	wanted := map[string]bool{}
	for line := range strings.Lines(sums) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		wanted[name] = true
		if digest, err := digestOf(filepath.Join(folder, name)); err != nil || digest != want {
			os.Remove(filepath.Join(folder, name))
			wrong = append(wrong, name)
		}
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.jar"))
	for _, file := range files {
		if !wanted[filepath.Base(file)] {
			os.Remove(file)
			wrong = append(wrong, filepath.Base(file))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("flink: Maven gave other files than the ones that were tried here: %s; they were removed: try again, after removing them from Maven's own repository, ~/.m2", strings.Join(wrong, ", "))
	}
	return err
}

func digestOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// follow runs a command and tells every ten seconds how far it is.
func follow(ctx context.Context, cmd *exec.Cmd, what string, progress func() string, note func(string)) error {
	var problem bytes.Buffer
	cmd.Stderr = &problem
	note("flink: " + what)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("flink: %s: %w", what, err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			note("flink: " + what + ": " + progress())
		case err := <-done:
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("flink: %s: %w; what is there is kept for the next try\n%s", what, err, strings.TrimSpace(problem.String()))
			}
			return nil
		}
	}
}

// megabytes is how much of a file there is, wherever in a folder it grows.
func megabytes(folder, name string) (n int64) {
	_ = filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == name {
			if info, err := d.Info(); err == nil {
				n = max(n, info.Size())
			}
		}
		return nil // files come and go
	})
	return n / 1e6
}

// lines keeps what a command prints.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), word)
}

// errors are the lines in which Maven says what went wrong.
func (l *lines) errors() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for line := range strings.Lines(l.text.String()) {
		if strings.HasPrefix(line, "[ERROR]") && len(list) < 5 {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return strings.Join(list, "\n")
}
