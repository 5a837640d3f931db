package command

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
)

// tinyPlan makes networks of a few hundred weights that are trained for a step or two.
const tinyPlan = `--preset demo --set spacing=10,15,15 --set patch_size=8,8,8
	--set architecture.features_per_stage=4,6 --set architecture.n_conv_per_stage=1,1 --set architecture.n_conv_per_stage_decoder=1
	--set batch_size=2 --set inference.step_size=1 --set training.folds=2 --set training.steps_per_epoch=2 --set training.teacher_epochs=2
	--set training.student_epochs=1 --set training.finetune_epochs=1 --set training.warmup_steps=1 --set training.student_all_labels=false`

const tinyScans = "--shape 9,16,22 --spacing 10,15,15"

// commands are all that take addresses; ROOT stands for a folder or a bucket.
var commands = []string{
	"phantom --out ROOT/base --labelled 1 --unlabelled 2 --test 0 PHANTOM",
	"phantom --out ROOT/cohort --labelled 2 --unlabelled 0 --test 1 PHANTOM" +
		" --from ROOT/base/imagesTr/labelled_0000_0000.nii.gz,ROOT/base/labelsTr/labelled_0000.nii.gz",
	"plan --dataset ROOT/cohort --store ROOT/store PLAN",
	"preprocess --dataset ROOT/cohort --store ROOT/store POOL",
	"train --dataset ROOT/cohort --store ROOT/store POOL",
	"pseudolabel --dataset ROOT/cohort --store ROOT/store POOL",
	"train --dataset ROOT/cohort --store ROOT/store POOL --role student",
	"predict --store ROOT/store --input ROOT/cohort/imagesTs --output ROOT/labels --model student",
	"predict --store ROOT/store --input ROOT/cohort/imagesTs/test_* --output ROOT/labels2 --model ensemble",
	"evaluate --predictions ROOT/labels --references ROOT/cohort/labelsTs",
	"evaluate --predictions ROOT/labels2 --references ROOT/cohort/labelsTs --dataset-json ROOT/cohort/dataset.json --store ROOT/scores",
	"doctor --store ROOT/store",
}

// runLine runs one of them.
func runLine(t *testing.T, root, line string) (code int, out, log string) {
	t.Helper()
	pool := "--unlabelled-scans " + root + "/base/imagesUn/*.nii.gz"
	line = strings.NewReplacer("POOL", pool, "ROOT", root, "PLAN", tinyPlan, "PHANTOM", tinyScans).Replace(line)
	return command(t, strings.Fields(line)...)
}

func runAll(t *testing.T, root string) {
	t.Helper()
	for _, line := range commands {
		if code, out, log := runLine(t, root, line); code != Done {
			t.Fatalf("%s: exit code %d\n%s%s", line, code, out, log)
		}
	}
}

// varying are files that hold times or the generations of others.
var varying = regexp.MustCompile(`(^|/)(ledger/|phantom\.json$|state\.json$|training\.jsonl$|events\.out|latest$|report/timings\.json$|report/seconds/)`)

// results reads what must be the same wherever it is made.
func results(t *testing.T, root string) map[string]string {
	t.Helper()
	st, err := store.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	infos, err := st.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, i := range infos {
		if strings.Contains(i.Key, "ledger/files/") { // named by the digests of addresses
			continue
		}
		if varying.MatchString(i.Key) {
			text[i.Key] = "" // there, whatever it says
			continue
		}
		data, err := st.Read(t.Context(), i.Key)
		if err != nil {
			t.Fatal(err)
		}
		text[i.Key] = strings.ReplaceAll(string(data), root, "ROOT")
	}
	return text
}

// TestBucket runs every command with nothing but gs:// addresses on a service that
// spoils a request in twenty, and again in a folder: the same files, byte for byte.
func TestBucket(t *testing.T) {
	if testing.Short() {
		t.Skip("the method twice: not with -short")
	}
	service := storetest.Bucket(t, "data")
	service.Spoil(storetest.Some(0.05, storetest.Busy, storetest.Truncated, storetest.Cut, storetest.Lost))
	runAll(t, "gs://data/work")
	asked, spoiled := service.Asked(), service.Spoiled()
	service.Spoil(nil)
	t.Logf("%d of %d requests were spoiled", spoiled, asked)
	if spoiled*30 < asked {
		t.Errorf("%d of %d requests were spoiled, want some 5 %%", spoiled, asked)
	}
	folder := t.TempDir()
	runAll(t, folder)
	bucket, local := results(t, "gs://data/work"), results(t, folder)
	for key, want := range local {
		if got, ok := bucket[key]; !ok || got != want {
			t.Errorf("%s: %d bytes in the bucket, %d in the folder, or other ones", key, len(got), len(want))
		}
	}
	for key := range bucket {
		if _, ok := local[key]; !ok {
			t.Errorf("%s is in the bucket only", key)
		}
	}
	if len(local) < 100 {
		t.Errorf("only %d files were compared", len(local))
	}
}

// TestBucketRefuses is about buckets that cannot be used: one line on what is wrong
// and what to do, exit code 1, and nothing of a case that would be refused for it.
func TestBucketRefuses(t *testing.T) {
	service := storetest.Bucket(t, "data")
	if code, _, log := runLine(t, "gs://data", commands[0]); code != Done {
		t.Fatal(log)
	}
	cohort := "gs://data/base"
	plan := strings.Fields("plan --dataset " + cohort + " --store gs://data/store " + tinyPlan)
	reads := func(r *http.Request) bool { return r.Method == http.MethodGet }
	all := func(*http.Request) bool { return true }
	for name, c := range map[string]struct {
		args []string
		way  storetest.Ill
		when func(*http.Request) bool
		want []string
	}{
		"store in no bucket":         {strings.Fields("plan --dataset " + cohort + " --store gs://absent/store"), storetest.Well, all, []string{"no such bucket: gs://absent", "gcloud storage buckets create gs://absent"}},
		"dataset in no bucket":       {strings.Fields("plan --dataset gs://absent/d --store gs://data/store"), storetest.Well, all, []string{"no such bucket: gs://absent"}},
		"scans in no bucket":         {append(plan, "--unlabelled-scans", "gs://absent/x"), storetest.Well, all, []string{"no such bucket: gs://absent"}},
		"cohort to no bucket":        {strings.Fields("phantom --out gs://absent/c"), storetest.Well, all, []string{"no such bucket: gs://absent"}},
		"references in no bucket":    {strings.Fields("evaluate --predictions " + cohort + "/labelsTr --references gs://absent/r"), storetest.Well, all, []string{"no such bucket: gs://absent"}},
		"not logged in":              {plan, storetest.Stranger, all, []string{"not logged in", "gcloud auth application-default login"}},
		"no permission":              {plan, storetest.Denied, all, []string{"permission denied", "who@example.com", "roles/storage.objectUser"}},
		"store that is only read":    {plan, storetest.Denied, storetest.Upload, []string{"permission denied", "gs://data/store", "roles/storage.objectUser"}},
		"another region":             {plan, storetest.Moved, all, []string{"the bucket is served elsewhere", "another region"}},
		"scans while login ends":     {plan, storetest.Stranger, scan, []string{"not logged in", "imagesTr"}},
		"bucket that goes elsewhere": {plan, storetest.Moved, func(r *http.Request) bool { return scan(r) && reads(r) }, []string{"the bucket is served elsewhere"}},
	} {
		service.Spoil(func(r *http.Request) storetest.Ill {
			if c.when(r) {
				return c.way
			}
			return storetest.Well
		})
		code, out, log := command(t, c.args...)
		last := log[strings.LastIndex(strings.TrimSpace(log), "\n")+1:]
		if code != Failed || out != "" || !strings.HasPrefix(last, "noisystudent: ") {
			t.Errorf("%s: exit code %d, %q, %q", name, code, out, log)
		}
		for _, want := range c.want {
			if !strings.Contains(last, want) {
				t.Errorf("%s: no %q in %q", name, want, last)
			}
		}
	}
}

// scan tells requests for the bytes of a scan.
func scan(r *http.Request) bool {
	return strings.Contains(r.URL.Path, "imagesTr") && storetest.Download(r)
}
