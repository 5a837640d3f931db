package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"noisystudent/runners/schedule"
)

func scheduleCommand(c *session, root *cobra.Command) *cobra.Command {
	var j schedule.Job
	var out string
	cmd := &cobra.Command{
		Use:   "schedule systemd|cron|cloud-scheduler|kubernetes --every TIME -- COMMAND...",
		Short: "Write a timer that starts a command again and again",
		Long: `schedule prints a systemd timer and service, a line for cron, a Cloud Scheduler job
with the Cloud Run job that it starts, or a Kubernetes CronJob. What follows -- is
the command to be started, as a rule reprocess. Under systemd and cron it starts in
the folder in which schedule was called, so that its paths mean the same.`,
		Example: `  noisystudent schedule systemd --every 15m --out ~/.config/systemd/user -- reprocess --store store --input 'incoming/*.nii.gz'
  (crontab -l; noisystudent schedule cron --every 15m -- reprocess --store /data/store --input /data/incoming) | crontab -
  noisystudent schedule kubernetes --every 1h --image gcr.io/p/noisystudent -- reprocess --store gs://b/store --input gs://b/in | kubectl apply -f -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := scheduled(cmd, root, args, &j)
			if err != nil {
				return usageError{err}
			}
			files, err := schedule.Write(kind, j)
			if err != nil {
				return usageError{err}
			}
			return c.give(files, out)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&j.Every, "every", 15*time.Minute, "time between two starts")
	f.StringVar(&j.Name, "name", "", "name of the unit or job (default noisystudent-COMMAND)")
	f.StringVar(&j.Binary, "binary", "", "systemd, cron: the program (default this one)")
	f.StringVar(&j.Image, "image", "", "cloud-scheduler, kubernetes: container image whose entrypoint is the program")
	f.StringVar(&j.Project, "project", "", "cloud-scheduler: project")
	f.StringVar(&j.Region, "region", "", "cloud-scheduler: region")
	f.StringVar(&j.Account, "service-account", "", "cloud-scheduler: e-mail of the account that starts and runs the job")
	f.StringVar(&out, "out", "", "folder to write the files to (default print them)")
	return cmd
}

// scheduled completes a job from the command line.
func scheduled(cmd, root *cobra.Command, args []string, j *schedule.Job) (kind string, err error) {
	if cmd.ArgsLenAtDash() != 1 || len(args) < 2 {
		return "", errors.New("write schedule " + strings.ReplaceAll(schedule.Kinds, " or ", ", ") + " --every 15m -- reprocess --store … --input …")
	}
	kind, j.Args = args[0], args[1:]
	if target, _, err := root.Find(j.Args); err != nil || target == root {
		return "", fmt.Errorf("%q is no command of noisystudent", j.Args[0])
	}
	if j.Name == "" {
		j.Name = "noisystudent-" + j.Args[0]
	}
	cloud := kind == "cloud-scheduler"
	for flag, missing := range map[string]bool{
		"image": (cloud || kind == "kubernetes") && j.Image == "", "project": cloud && j.Project == "",
		"region": cloud && j.Region == "", "service-account": cloud && j.Account == "",
	} {
		if missing {
			return "", fmt.Errorf("%s needs --%s", kind, flag)
		}
	}
	if j.Folder, err = os.Getwd(); err != nil {
		return "", err
	}
	if j.Binary == "" {
		if j.Binary, err = os.Executable(); err != nil {
			return "", err
		}
		if strings.Contains(j.Binary, "go-build") && kind != "kubernetes" && !cloud && !strings.HasSuffix(j.Binary, ".test") {
			return "", errors.New("`go run` leaves no program behind that could be started; `go build` it first, or name it with --binary")
		}
	}
	j.Binary, err = filepath.Abs(j.Binary)
	return kind, err
}

// give prints files, or writes them to a folder.
func (c *session) give(files []schedule.File, folder string) error {
	for i, f := range files {
		if folder != "" {
			path := filepath.Join(folder, f.Name)
			if err := os.MkdirAll(folder, 0o777); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(f.Text), 0o666); err != nil {
				return err
			}
			fmt.Fprintln(c.log, "written: "+path)
			continue
		}
		if len(files) > 1 {
			fmt.Fprintf(c.out, "%s# %s\n", map[bool]string{true: "\n"}[i > 0], f.Name)
		}
		fmt.Fprint(c.out, f.Text)
	}
	return nil
}
