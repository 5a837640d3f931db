package command

import (
	"encoding/json"
	"strings"
	"testing"

	"noisystudent/io/store/storetest"
)

// TestDataflowDryRun prints the jobs of stages that compute networks and of those that
// do not, from nothing but a bucket.
func TestDataflowDryRun(t *testing.T) {
	if testing.Short() {
		t.Skip("trains before it predicts: not with -short")
	}
	storetest.Bucket(t, "data")
	cohort := func(line string) string {
		return strings.ReplaceAll(line, "SETS", "--dataset gs://data/base --store gs://data/store")
	}
	for _, line := range []string{
		"phantom --out gs://data/base --labelled 2 --unlabelled 1 --test 0 " + tinyScans,
		"DRY fingerprint plan SETS PLAN",
		"plan SETS PLAN",
		"DRY preprocess preprocess SETS",
		"preprocess SETS",
		"DRY train train SETS",
		"train SETS",
		"DRY pseudolabel pseudolabel SETS",
		"DRY predict predict --store gs://data/store --input gs://data/base/imagesUn --output gs://data/labels --model teacher/0",
		"DRY evaluate evaluate --predictions gs://data/base/labelsTr --references gs://data/base/labelsTr",
	} {
		rest, dry := strings.CutPrefix(cohort(line), "DRY ")
		if !dry {
			if code, _, log := runLine(t, "", rest); code != Done {
				t.Fatalf("%s: %s", line, log)
			}
			continue
		}
		stage, rest, _ := strings.Cut(rest, " ")
		checkDryRun(t, stage, rest)
	}
}

func checkDryRun(t *testing.T, stage, line string) {
	t.Helper()
	code, out, log := runLine(t, "", line+" --runner dataflow --project p --region europe-west3 --staging gs://data/staging"+
		" --worker-image example.com/worker:cuda --accelerator nvidia-l4:2 --max-workers 7 --dry-run")
	var job struct {
		Name        string
		Environment struct {
			ServiceOptions []string
			WorkerPools    []struct {
				MachineType, WorkerHarnessContainerImage string
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &job); code != Done || err != nil || !strings.Contains(log, "nothing was submitted") {
		t.Fatalf("%s: exit code %d, %v\n%s%s", line, code, err, out, log)
	}
	networks, machine := stage == "train" || stage == "pseudolabel" || stage == "predict", "n1-highmem-2"
	if networks {
		machine = "g2-standard-24"
	}
	pool := job.Environment.WorkerPools[0]
	if !strings.HasPrefix(job.Name, "noisystudent-"+stage) || pool.WorkerHarnessContainerImage != "example.com/worker:cuda" || pool.MachineType != machine {
		t.Errorf("%s: %+v", line, job)
	}
	if got := strings.Join(job.Environment.ServiceOptions, ","); networks != strings.Contains(got, "type:nvidia-l4;count:2") {
		t.Errorf("%s: service options %q", line, got)
	}
	if strings.Contains(out, "labelled_0000") {
		t.Errorf("%s: the job names a case:\n%s", line, out)
	}
}

// Everything that Dataflow's workers could not reach is refused by the command line.
func TestDataflowRefuses(t *testing.T) {
	const cloud = " --runner dataflow --project p --region r --staging gs://b/x"
	for line, want := range map[string]string{
		"plan --dataset gs://b/d --store /s" + cloud:                                                                 "cannot open /s",
		"plan --dataset gs://b/d --store mem://s" + cloud:                                                            "cannot open mem://s",
		"plan --dataset d --store gs://b/s" + cloud:                                                                  "cannot open d",
		"plan --dataset gs://b/d --store gs://b/s --unlabelled-scans /un/*.nii.gz" + cloud:                           "cannot open /un/*.nii.gz",
		"predict --store gs://b/s --input in --output gs://b/o" + cloud:                                              "cannot open in",
		"predict --store gs://b/s --input gs://b/i --output out" + cloud:                                             "cannot open out",
		"evaluate --predictions p --references gs://b/r" + cloud:                                                     "cannot open p",
		"evaluate --predictions gs://b/p --references r" + cloud:                                                     "cannot open r",
		"evaluate --predictions gs://b/p --references gs://b/r --dataset-json d.json" + cloud:                        "cannot open d.json",
		"phantom --out o" + cloud:                                                                                    "cannot open o",
		"phantom --out gs://b/o --from ct.nii.gz,l.nii.gz" + cloud:                                                   "cannot open ct.nii.gz",
		"demo --out o" + cloud:                                                                                       "cannot open o",
		"plan --dataset gs://b/d --store gs://b/s --environment LOOPBACK" + cloud:                                    "are Flink's",
		"plan --dataset gs://b/d --store gs://b/s --parallelism 4" + cloud:                                           "--max-workers",
		"plan --dataset gs://b/d --store gs://b/s --accelerator nvidia-l4" + cloud:                                   "Dockerfile.cuda",
		"plan --dataset gs://b/d --store gs://b/s --dry-run":                                                         "add --runner=dataflow",
		"plan --dataset gs://b/d --store gs://b/s --runner dataflow --project p --region r-we1-a --staging gs://b/x": "is a zone",
	} {
		if code, out, log := command(t, strings.Fields(line)...); code != Usage || out != "" || !strings.Contains(log, want) {
			t.Errorf("%s: exit code %d, %q, %q, want %q", line, code, out, log, want)
		}
	}
}
