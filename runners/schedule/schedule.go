// Package schedule writes what starts a command of this program again and again: a
// systemd timer, a line for cron, a Cloud Scheduler job with the Cloud Run job that it
// starts, or a Kubernetes CronJob.
//
// The one idea: whatever starts the command may start it twice, late or not at all. The
// command itself sees to it that the work is done once (see transforms/incoming and
// manifest.Lock), so that nothing here need be clever.
package schedule

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"time"
)

//go:embed templates
var templates embed.FS

// Job is what is to be started, and where.
type Job struct {
	Name   string        // of unit, job or pod
	Every  time.Duration // between two starts
	Binary string        // absolute path; systemd and cron
	Folder string        // in which it starts; systemd and cron
	Args   []string      // of the command: its name and flags

	Image                    string // of the container; Cloud Scheduler and Kubernetes
	Project, Region, Account string // Cloud Scheduler
}

// File is one file of a schedule.
type File struct {
	Name string
	Text string
}

// kinds are the files of each kind of schedule, by their templates.
var kinds = map[string][]struct{ name, template string }{
	"systemd":         {{"{{.Name}}.service", "service.tmpl"}, {"{{.Name}}.timer", "timer.tmpl"}},
	"cron":            {{"{{.Name}}.crontab", "crontab.tmpl"}},
	"cloud-scheduler": {{"{{.Name}}.run-job.json", "cloud-run-job.tmpl"}, {"{{.Name}}.scheduler.json", "cloud-scheduler.tmpl"}},
	"kubernetes":      {{"{{.Name}}.cronjob.json", "cronjob.tmpl"}},
}

// Kinds lists what Write knows.
const Kinds = "systemd, cron, cloud-scheduler or kubernetes"

// Write gives the files of a schedule of a kind.
func Write(kind string, j Job) ([]File, error) {
	files, known := kinds[kind]
	if !known {
		return nil, fmt.Errorf("schedule: no kind %q; use %s", kind, Kinds)
	}
	values, err := j.values(kind)
	if err != nil {
		return nil, err
	}
	all, err := template.New("").Funcs(template.FuncMap{"json": asJSON}).ParseFS(templates, "templates/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("schedule: %w", err)
	}
	var out []File
	for _, f := range files {
		var text bytes.Buffer
		if err := all.ExecuteTemplate(&text, f.template, values); err != nil {
			return nil, fmt.Errorf("schedule: write %s: %w", f.template, err)
		}
		out = append(out, File{strings.Replace(f.name, "{{.Name}}", j.Name, 1), text.String()})
	}
	return out, nil
}

// values are a job as the templates see it.
type values struct {
	Job
	EverySeconds     int64
	Cron             string
	CronCommand      string
	ExecStart        string
	WorkingDirectory string
}

func (j Job) values(kind string) (values, error) {
	v := values{Job: j, EverySeconds: int64(j.Every / time.Second)}
	if j.Every < time.Minute || j.Every%time.Second != 0 {
		return v, fmt.Errorf("schedule: every %v; give whole seconds, one minute or more", j.Every)
	}
	for _, text := range append([]string{j.Name, j.Binary, j.Folder}, j.Args...) {
		if strings.ContainsAny(text, "\n\r\x00") {
			return v, fmt.Errorf("schedule: %q holds a line break", text)
		}
	}
	switch kind {
	case "systemd":
		v.ExecStart = systemdLine(append([]string{j.Binary}, j.Args...))
		v.WorkingDirectory = strings.ReplaceAll(j.Folder, "%", "%%")
		return v, nil
	case "cron":
		line := "cd " + shellWord(j.Folder) + " && exec " + shellLine(append([]string{j.Binary}, j.Args...))
		v.CronCommand = strings.ReplaceAll(line, "%", `\%`) // a bare % is a line break to cron
	}
	var err error
	v.Cron, err = cronTime(j.Every)
	return v, err
}

// cronTime says how often in cron's five fields.
func cronTime(every time.Duration) (string, error) {
	minutes := int(every / time.Minute)
	switch {
	case every%time.Minute != 0:
	case minutes == 1:
		return "* * * * *", nil
	case minutes < 60 && 60%minutes == 0:
		return fmt.Sprintf("*/%d * * * *", minutes), nil
	case minutes == 60:
		return "0 * * * *", nil
	case minutes%60 == 0 && minutes < 24*60 && 24%(minutes/60) == 0:
		return fmt.Sprintf("0 */%d * * *", minutes/60), nil
	case minutes == 24*60:
		return "0 0 * * *", nil
	}
	return "", fmt.Errorf("schedule: cron's fields cannot say every %v; give minutes that divide an hour, hours that divide a day, or 24h (systemd takes any time)", every)
}

func asJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}
