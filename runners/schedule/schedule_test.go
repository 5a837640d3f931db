package schedule

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// awkward holds what shells, cron and systemd take for something else.
func awkward() Job {
	return Job{
		Name: "noisystudent-reprocess", Every: 15 * time.Minute, Binary: "/bin/true", Folder: "/",
		Args:  []string{"reprocess", "--store", "/data/the store", "--input", "/in/*.nii.gz", "--set", `a=50%,"$HOME" it's \n`},
		Image: "gcr.io/p/noisystudent:1", Project: "p", Region: "r", Account: "a@p.iam.gserviceaccount.com",
	}
}

func write(t *testing.T, kind string, j Job) []File {
	t.Helper()
	files, err := Write(kind, j)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// unit reads an INI file of systemd's: values by section and name.
func unit(t *testing.T, text string) map[string]string {
	t.Helper()
	values, section := map[string]string{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, found := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = line
		case found && section != "":
			values[section+name] = value
		default:
			t.Errorf("%q is no line of a unit", line)
		}
	}
	return values
}

// words splits ExecStart as systemd.service(5) has it.
func words(line string) (list []string) {
	var word strings.Builder
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\':
			i++
			word.WriteByte(line[i])
		case (c == '%' || c == '$') && i+1 < len(line) && line[i+1] == c:
			i++
			word.WriteByte(c)
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			list = append(list, word.String())
			word.Reset()
		default:
			word.WriteByte(c)
		}
	}
	return append(list, word.String())
}

func TestSystemd(t *testing.T) {
	j := awkward()
	files := write(t, "systemd", j)
	if files[0].Name != "noisystudent-reprocess.service" || files[1].Name != "noisystudent-reprocess.timer" {
		t.Errorf("%+v", files)
	}
	service, timer := unit(t, files[0].Text), unit(t, files[1].Text)
	if got, want := words(service["[Service]ExecStart"]), append([]string{j.Binary}, j.Args...); !slices.Equal(got, want) {
		t.Errorf("systemd would start\n%q, want\n%q", got, want)
	}
	for name, want := range map[string]string{"[Timer]OnUnitActiveSec": "900s", "[Timer]Unit": "noisystudent-reprocess.service", "[Install]WantedBy": "timers.target"} {
		if timer[name] != want {
			t.Errorf("%s is %q, want %q", name, timer[name], want)
		}
	}
	if service["[Service]Type"] != "oneshot" || service["[Service]SuccessExitStatus"] != "3" || service["[Service]TimeoutStartSec"] != "infinity" {
		t.Errorf("%+v", service)
	}
}

func TestSystemdVerifies(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze")
	}
	folder := t.TempDir()
	args := []string{"verify"}
	for _, f := range write(t, "systemd", awkward()) {
		path := filepath.Join(folder, f.Name)
		if err := os.WriteFile(path, []byte(f.Text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.Command(analyze, args...).CombinedOutput()
	if err != nil || strings.Contains(string(out), folder) || strings.Contains(string(out), "noisystudent-reprocess") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCron(t *testing.T) {
	j := awkward()
	folder := t.TempDir()
	// A program that says what it was given, one argument a line.
	j.Folder, j.Binary = folder, filepath.Join(folder, "echo it")
	if err := os.WriteFile(j.Binary, []byte("#!/bin/sh\npwd\nprintf '%s\\n' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := write(t, "cron", j)[0].Text
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	fields := strings.SplitN(lines[len(lines)-1], " ", 6)
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "#") || strings.Join(fields[:5], " ") != "*/15 * * * *" {
		t.Fatalf("%q", text)
	}
	if strings.Contains(strings.ReplaceAll(fields[5], `\%`, ""), "%") {
		t.Errorf("cron would end the command at a %%: %s", fields[5])
	}
	cmd := exec.Command("/bin/sh", "-c", strings.ReplaceAll(fields[5], `\%`, "%"))
	cmd.Env, cmd.Dir = []string{"PATH=/usr/bin:/bin"}, "/"
	out, err := cmd.CombinedOutput()
	real, _ := filepath.EvalSymlinks(folder)
	if want := real + "\n" + strings.Join(j.Args, "\n") + "\n"; err != nil || string(out) != want {
		t.Errorf("%v: the program was given\n%s\nwant\n%s", err, out, want)
	}
}

func TestCronTime(t *testing.T) {
	for every, want := range map[time.Duration]string{
		time.Minute: "* * * * *", 20 * time.Minute: "*/20 * * * *", time.Hour: "0 * * * *", 6 * time.Hour: "0 */6 * * *", 24 * time.Hour: "0 0 * * *",
	} {
		if got, err := cronTime(every); got != want || err != nil {
			t.Errorf("%v: %q, %v", every, got, err)
		}
	}
	for _, every := range []time.Duration{7 * time.Minute, 90 * time.Second, 90 * time.Minute, 5 * time.Hour, 48 * time.Hour} {
		if got, err := cronTime(every); err == nil || !strings.Contains(err.Error(), "systemd takes any time") {
			t.Errorf("%v: %q, %v", every, got, err)
		}
	}
}

// at finds a value in JSON by a path of keys and indices.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			list, _ := v.([]any)
			if p >= len(list) {
				return nil
			}
			v = list[p]
		}
	}
	return v
}

func TestJSON(t *testing.T) {
	j := awkward()
	parsed := map[string]any{}
	for _, kind := range []string{"cloud-scheduler", "kubernetes"} {
		for _, f := range write(t, kind, j) {
			var v any
			if err := json.Unmarshal([]byte(f.Text), &v); err != nil {
				t.Fatalf("%s: %v\n%s", f.Name, err, f.Text)
			}
			parsed[strings.TrimPrefix(f.Name, j.Name+".")] = v
		}
	}
	const run, scheduler, cronjob = "run-job.json", "scheduler.json", "cronjob.json"
	pod := []any{"spec", "jobTemplate", "spec", "template", "spec"}
	container := append(slices.Clone(pod), "containers", 0)
	for _, c := range []struct {
		file string
		path []any
		want any
	}{
		{run, []any{"template", "template", "containers", 0, "image"}, j.Image},
		{run, []any{"template", "template", "serviceAccount"}, j.Account},
		{run, []any{"template", "template", "maxRetries"}, 0.0},
		{scheduler, []any{"schedule"}, "*/15 * * * *"},
		{scheduler, []any{"name"}, "projects/p/locations/r/jobs/noisystudent-reprocess"},
		{scheduler, []any{"httpTarget", "uri"}, "https://run.googleapis.com/v2/projects/p/locations/r/jobs/noisystudent-reprocess:run"},
		{scheduler, []any{"httpTarget", "oauthToken", "serviceAccountEmail"}, j.Account},
		{cronjob, []any{"kind"}, "CronJob"},
		{cronjob, []any{"apiVersion"}, "batch/v1"},
		{cronjob, []any{"spec", "concurrencyPolicy"}, "Forbid"},
		{cronjob, []any{"spec", "schedule"}, "*/15 * * * *"},
		{cronjob, append(slices.Clone(container), "image"), j.Image},
		{cronjob, append(slices.Clone(pod), "restartPolicy"), "Never"},
	} {
		if got := at(parsed[c.file], c.path...); got != c.want {
			t.Errorf("%s %v: %v, want %v", c.file, c.path, got, c.want)
		}
	}
	for file, path := range map[string][]any{run: {"template", "template", "containers", 0, "args"}, cronjob: append(slices.Clone(container), "args")} {
		list, _ := at(parsed[file], path...).([]any)
		var got []string
		for _, v := range list {
			text, _ := v.(string)
			got = append(got, text)
		}
		if !slices.Equal(got, j.Args) {
			t.Errorf("%s: arguments %q", file, got)
		}
	}
}

func TestRefuses(t *testing.T) {
	j := awkward()
	if _, err := Write("anacron", j); err == nil || !strings.Contains(err.Error(), Kinds) {
		t.Error(err)
	}
	for _, every := range []time.Duration{0, time.Second, 90*time.Second + 1} {
		j.Every = every
		if _, err := Write("systemd", j); err == nil {
			t.Errorf("every %v is written", every)
		}
	}
	j = awkward()
	j.Args[1] = "--store\nExecStart=/bin/rm"
	for _, kind := range []string{"systemd", "cron", "kubernetes", "cloud-scheduler"} {
		if _, err := Write(kind, j); err == nil {
			t.Errorf("%s: a line break got through", kind)
		}
	}
}
