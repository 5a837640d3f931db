package cluster

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// asJava makes this test binary a Java that answers as Flink and the job server do.
const asJava = "NOISYSTUDENT_TEST_AS_JAVA"

func TestMain(m *testing.M) {
	if os.Getenv(asJava) != "" {
		fmt.Fprintln(os.Stderr, fakeJava(os.Args[1:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func fakeJava(args []string) error {
	line := strings.Join(args, " ")
	if line == "-version" {
		fmt.Println(`openjdk version "17.0.1"`)
		os.Exit(0)
	}
	if strings.Contains(line, "StandaloneSession") {
		config, err := os.ReadFile(filepath.Join(args[len(args)-1], "config.yaml"))
		if err != nil {
			return err
		}
		port := regexp.MustCompile(`rest.port: (\d+)`).FindSubmatch(config)[1]
		return http.ListenAndServe("localhost:"+string(port), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, map[string]string{
				"/jobs/overview": `{"jobs":[{"name":"a","state":"RUNNING"},{"name":"b","state":"FINISHED"}]}`,
				"/taskmanagers":  `{"taskmanagers":[{"id":"one"}]}`,
				"/overview":      `{"slots-available":3}`,
			}[r.URL.Path])
		}))
	}
	if m := regexp.MustCompile(`--job-port=(\d+)`).FindStringSubmatch(line); m != nil {
		l, err := net.Listen("tcp", "localhost:"+m[1])
		for err == nil {
			_, err = l.Accept()
		}
		return err
	}
	time.Sleep(time.Minute)
	return errors.New("nobody stopped it")
}

// script puts a program of a shell into a folder of PATH.
func script(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// alone gives the test a cache and a PATH of its own, and returns the PATH's folder.
func alone(t *testing.T) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	bin := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	t.Setenv("FLINK_HOME", "")
	t.Setenv("PATH", bin)
	return bin
}

// fetched pretends that all was fetched and that there is a Java.
func fetched(t *testing.T) {
	t.Helper()
	bin := alone(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script(t, bin, "java", asJava+"=1 exec '"+self+"' \"$@\"")
	base, err := cache()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"flink-" + flinkVersion, beamFolder()} {
		if err := os.MkdirAll(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeJar(t, filepath.Join(base, beamFolder(), serverJar), serverClass, knownClass(0))
}

// knownClass is a class as it is expected, before (0) or after (1) the changes.
func knownClass(i int) (text string) {
	for _, c := range serverChanges {
		text += c[i]
	}
	return text
}

// writeJar makes a jar of one file.
func writeJar(t *testing.T, jar, name, text string) {
	t.Helper()
	var data bytes.Buffer
	z := zip.NewWriter(&data)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err = errors.Join(err, z.Close()); err == nil {
		err = os.WriteFile(jar, data.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A class that is not the one that is known is left alone, and nothing is started.
func TestWriteLocal(t *testing.T) {
	beam, file := t.TempDir(), filepath.Join(t.TempDir(), "local.jar")
	for _, c := range []struct{ text, want string }{
		{strings.Replace(knownClass(0), "\xb6\x00\xa0", "\xb6\x00\xa1", 1), "is there 0 times"},
		{knownClass(0) + serverChanges[0][0], "is there 2 times"},
		{"<" + knownClass(0) + ">", ""},
	} {
		writeJar(t, filepath.Join(beam, serverJar), serverClass, c.text)
		err := writeLocal(file, beam)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
	class, err := readEntry(file, serverClass)
	if want := "<" + knownClass(1) + ">"; err != nil || string(class) != want {
		t.Errorf("%q, %v, want %q", class, err, want)
	}
	if !strings.Contains(beamSums, " "+serverJar+"\n") {
		t.Errorf("%s is not among the jars that are fetched", serverJar)
	}
}

func TestUpDown(t *testing.T) {
	fetched(t)
	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	folder := filepath.Join(t.TempDir(), "the cluster")
	if _, err := Read(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	if _, err := Up(t.Context(), Options{Folder: folder, JobPort: portOf(taken.Addr().String())}); err == nil || !strings.Contains(err.Error(), "--job-port") {
		t.Errorf("a port that is taken: %v", err)
	}
	t.Cleanup(func() {
		if _, err := Down(t.Context(), folder); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	state, err := Up(t.Context(), Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	first := look(t, folder)
	if !first.Answers || first.Free != 3 || len(first.Processes) != 3 || len(first.Jobs) != 1 || first.Processes[1].RSS < 1<<20 || !state.Local {
		t.Errorf("%+v", first)
	}
	// Up starts again what was killed, and only that, where the others look for it.
	killed := first.Processes[2]
	if p, err := os.FindProcess(killed.PID); err != nil || p.Kill() != nil {
		t.Fatal("cannot kill")
	}
	for len(look(t, folder).Processes) == 3 {
		time.Sleep(10 * time.Millisecond)
	}
	again, err := Up(t.Context(), Options{Folder: folder, Slots: 9})
	if err != nil || again != state {
		t.Errorf("%v, %+v and then %+v", err, state, again)
	}
	second := look(t, folder)
	if len(second.Processes) != 3 || second.Processes[0] != (Process{jobManager, first.Processes[0].PID, second.Processes[0].RSS, first.Processes[0].Log}) || second.Processes[2].PID == killed.PID {
		t.Errorf("%+v and then %+v", first, second)
	}
	// Down needs no file that Up has written.
	if err := os.Remove(stateFile(folder)); err != nil {
		t.Fatal(err)
	}
	stopped, err := Down(t.Context(), folder)
	if err != nil || !slices.Equal(stopped, []string{jobServer, taskManager, jobManager}) {
		t.Errorf("stopped %v, %v", stopped, err)
	}
	if stopped, err = Down(t.Context(), folder); err != nil || len(stopped) > 0 {
		t.Errorf("stopped %v once more, %v", stopped, err)
	}
}

func look(t *testing.T, folder string) Status {
	t.Helper()
	s, err := Look(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A file may name processes that have ended since, and whose numbers others have now.
// Down looks at what the processes are.
func TestDownKillsOnlyOurs(t *testing.T) {
	alone(t)
	folder := t.TempDir()
	if err := os.WriteFile(stateFile(folder), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	loop := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/bin/sh", append([]string{"-c", "while :; do /bin/sleep 0.05; done", "java"}, args...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		return cmd
	}
	ours, theirs, neighbour := loop(mark(taskManager, folder)), loop("-Dsomething=else"), loop(mark(taskManager, folder+"2"))
	go func() { _ = ours.Wait() }() // else it stays as a zombie
	stopped, err := Down(t.Context(), folder)
	if err != nil || !slices.Equal(stopped, []string{taskManager}) {
		t.Errorf("stopped %v, %v", stopped, err)
	}
	for _, cmd := range []*exec.Cmd{theirs, neighbour} {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("%v has ended", cmd.Args)
		}
	}
}

func TestUpTellsWhyAProcessEnded(t *testing.T) {
	fetched(t)
	script(t, os.Getenv("PATH"), "java", `if [ "$1" = -version ]; then echo 'version "11"'; exit; fi; echo 'there is no heap'; exit 1`)
	_, err := Up(t.Context(), Options{Folder: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "ended:\nthere is no heap\nsee ") {
		t.Errorf("%v", err)
	}
}

func TestWhatIsMissing(t *testing.T) {
	bin := alone(t)
	up := func() string {
		_, err := Up(t.Context(), Options{Folder: t.TempDir()})
		if err == nil {
			t.Fatal("up without anything")
		}
		return err.Error()
	}
	if text := up(); !strings.Contains(text, "no java") || !strings.Contains(text, javaRemedy) {
		t.Error(text)
	}
	script(t, bin, "java", `echo 'java version "1.8.0_392"' >&2`)
	if text := up(); !strings.Contains(text, "is Java 8; "+javaRemedy) {
		t.Error(text)
	}
	script(t, bin, "java", `echo 'openjdk version "17.0.9"' >&2`)
	if text := up(); !strings.Contains(text, pipRemedy+" and "+mvnRemedy) {
		t.Error(text)
	}
	script(t, bin, "mvn", "exit 1")
	script(t, bin, "pip", "echo 'no such release' >&2; exit 1")
	if text := up(); !strings.Contains(text, "no such release") {
		t.Error(text)
	}
	t.Setenv("FLINK_HOME", bin)
	if text := up(); !strings.Contains(text, "correct FLINK_HOME") {
		t.Error(text)
	}
}

func TestLock(t *testing.T) {
	alone(t)
	unlock, err := lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(); err == nil || !strings.Contains(err.Error(), "is starting the cluster") {
		t.Errorf("%v", err)
	}
	unlock()
	base, _ := cache()
	if err := os.WriteFile(filepath.Join(base, "flink.lock"), []byte("999999999"), 0o644); err != nil {
		t.Fatal(err)
	}
	if unlock, err = lock(); err != nil {
		t.Errorf("a lock whose owner has died: %v", err)
	}
	unlock()
}

func TestStatusIsJSON(t *testing.T) {
	data, err := json.Marshal(Status{State: State{Endpoint: "localhost:1"}, Processes: []Process{}, Jobs: []Job{}})
	if err != nil || !strings.Contains(string(data), `{"endpoint":"localhost:1",`) {
		t.Errorf("%s, %v", data, err)
	}
}
