package dataflow

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository, which the Dockerfiles copy from.
const root = "../.."

// TestDockerfiles holds both files against the repository: no daemon is needed.
func TestDockerfiles(t *testing.T) {
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(module)
	if version == nil {
		t.Fatal("go.mod names no version of Go")
	}
	for name, base := range map[string]string{"Dockerfile": "gcr.io/distroless/base", "Dockerfile.cuda": "debian:bookworm"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, want := range []string{
			"FROM golang:" + string(version[1]) + " AS build\n", "\nFROM " + base, "\nRUN runners/dataflow/build /out",
			"COPY --from=build /out/boot /opt/apache/beam/boot\n", "COPY --from=build /out/noisystudent ", "\nENTRYPOINT [\"/opt/apache/beam/boot\"]\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %q", name, want)
			}
		}
		users := regexp.MustCompile(`(?m)^USER (\S+)$`).FindAllStringSubmatch(text, -1)
		if len(users) == 0 || users[len(users)-1][1] == "root" || users[len(users)-1][1] == "0" {
			t.Errorf("%s runs as root", name)
		}
		if name == "Dockerfile.cuda" { // without a home, a user's cache folder is where this says
			user := users[len(users)-1][1]
			if !strings.Contains(text, "\nRUN install -d -o "+user+" /var/cache/worker\n") || !regexp.MustCompile(`(?m)^ENV .*XDG_CACHE_HOME=/var/cache/worker$`).MatchString(text) {
				t.Errorf("%s gives user %s no folder for compiled kernels", name, user)
			}
		}
		for _, line := range strings.Split(text, "\n") {
			words := strings.Fields(line)
			if len(words) < 3 || words[0] != "COPY" || strings.HasPrefix(words[1], "--from") {
				continue
			}
			for _, file := range words[1 : len(words)-1] {
				if _, err := os.Stat(filepath.Join(root, file)); err != nil {
					t.Errorf("%s copies what is not there: %v", name, err)
				}
			}
		}
	}
}

// TestImageContents is about what `runners/dataflow/build FOLDER` made, as the
// Dockerfiles do: Linux programs without libraries, and Beam's boot as the entry point.
func TestImageContents(t *testing.T) {
	folder := os.Getenv("NOISYSTUDENT_WORKER")
	if folder == "" {
		t.Skip("needs the contents of a worker image: NOISYSTUDENT_WORKER=FOLDER made by runners/dataflow/build")
	}
	for name, module := range map[string]string{"boot": "github.com/apache/beam/sdks/v2/go/container", "noisystudent": "noisystudent"} {
		file := filepath.Join(folder, name)
		if err := checkBinary(file); err != nil {
			t.Error(err)
		}
		if info, err := buildinfo.ReadFile(file); err != nil || info.Path != module {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
	if text, err := exec.Command(filepath.Join(folder, "boot")).CombinedOutput(); err == nil || !strings.Contains(string(text), "No id provided") {
		t.Errorf("boot without an id: %v, %s", err, text)
	}
	if text, err := exec.Command(filepath.Join(folder, "noisystudent"), "--version").CombinedOutput(); err != nil || !strings.HasPrefix(string(text), "noisystudent ") {
		t.Errorf("noisystudent --version: %v, %s", err, text)
	}
}
