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
	for name, base := range map[string]string{"Dockerfile": "gcr.io/distroless/base", "Dockerfile.cuda": "nvidia/cuda:"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, want := range []string{
			"FROM golang:" + string(version[1]) + " AS build\n", "\nFROM " + base, "\nRUN runners/dataflow/build /out\n",
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

// TestBoot builds the entry point as the images do: a program for Linux without
// libraries, which says that it needs an id.
func TestBoot(t *testing.T) {
	if testing.Short() {
		t.Skip("builds Beam's boot program: not with -short")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	out := t.TempDir()
	build := exec.Command("./build", out, "boot")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	boot := filepath.Join(out, "boot")
	if err := portable(boot); err != nil {
		t.Error(err)
	}
	info, err := buildinfo.ReadFile(boot)
	if err != nil || info.Path != "github.com/apache/beam/sdks/v2/go/container" {
		t.Errorf("%+v, %v", info, err)
	}
	if text, err := exec.Command(boot).CombinedOutput(); err == nil || !strings.Contains(string(text), "No id provided") {
		t.Errorf("without an id: %v, %s", err, text)
	}
}
