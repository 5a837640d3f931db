// Package schedule writes what starts a command of this program again and again: a
// systemd timer, a line for cron, a Cloud Scheduler job with the Cloud Run job that it
// starts, or a Kubernetes CronJob.
//
// The one idea: whatever starts the command may start it twice, late or not at all. The
// command itself sees to it that the work is done once (see transforms/incoming and
// manifest.Lock), so that nothing here need be clever.
package schedule

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
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
	"systemd":         {{"{{name}}.service", "service.tmpl"}, {"{{name}}.timer", "timer.tmpl"}},
	"cron":            {{"{{name}}.crontab", "crontab.tmpl"}},
	"cloud-scheduler": {{"{{name}}.run-job.json", "cloud-run-job.tmpl"}, {"{{name}}.scheduler.json", "cloud-scheduler.tmpl"}},
	"kubernetes":      {{"{{name}}.cronjob.json", "cronjob.tmpl"}},
}

// Kinds lists what Write knows.
const Kinds = "systemd, cron, cloud-scheduler or kubernetes"

// Write gives the files of a schedule of a kind.
func Write(kind string, j Job) ([]File, error) {
	files, known := kinds[kind]
	if !known {
		return nil, fmt.Errorf("schedule: no kind %q; use %s", kind, Kinds)
	}
	if err := j.check(); err != nil {
		return nil, err
	}
	fill, err := j.blanks(kind)
	if err != nil {
		return nil, err
	}
	var out []File
	for _, f := range files {
		text, err := templates.ReadFile("templates/" + f.template)
		if err != nil {
			return nil, fmt.Errorf("schedule: %w", err)
		}
		out = append(out, File{fill.Replace(f.name), fill.Replace(string(text))})
	}
	return out, nil
}

func (j Job) check() error {
	if j.Every < time.Minute || j.Every%time.Second != 0 {
		return fmt.Errorf("schedule: every %v; give whole seconds, one minute or more", j.Every)
	}
	for _, text := range append([]string{j.Name, j.Binary, j.Folder}, j.Args...) {
		if strings.ContainsAny(text, "\n\r\x00") {
			return fmt.Errorf("schedule: %q holds a line break", text)
		}
	}
	return nil
}

// blanks fills a template's blanks: {{name}} with text, {{"name"}} with JSON.
func (j Job) blanks(kind string) (*strings.Replacer, error) {
	line := append([]string{j.Binary}, j.Args...)
	cron := ""
	if kind != "systemd" {
		var err error
		if cron, err = cronTime(j.Every); err != nil {
			return nil, err
		}
	}
	command := "cd " + shellWord(j.Folder) + " && exec " + shellLine(line)
	job := fmt.Sprintf("projects/%s/locations/%s/jobs/%s", j.Project, j.Region, j.Name)
	list := []string{
		"{{name}}", j.Name, "{{every}}", j.Every.String(), "{{seconds}}", fmt.Sprint(int64(j.Every / time.Second)), "{{cron}}", cron,
		"{{command}}", strings.ReplaceAll(command, "%", `\%`), // a bare % is a line break to cron
		"{{exec}}", systemdLine(line), "{{folder}}", strings.ReplaceAll(j.Folder, "%", "%%"),
	}
	for name, value := range map[string]any{
		"name": j.Name, "cron": cron, "image": j.Image, "args": j.Args, "account": j.Account, "job": job,
		"uri": "https://run.googleapis.com/v2/" + job + ":run",
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("schedule: %w", err)
		}
		list = append(list, `{{"`+name+`"}}`, string(text))
	}
	return strings.NewReplacer(list...), nil
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
