package pipelines

import (
	"strings"
	"testing"
)

// TestPageCommands holds the commands of a page to what a shell makes of them, in folders and buckets.
func TestPageCommands(t *testing.T) {
	for got, want := range map[string]string{
		folderOf("gs://b/d/labelsTs/a.nii.gz"):                                "gs://b/d/labelsTs",
		folderOf("/d/a.nii.gz"):                                               "/d",
		folderOf("a.nii.gz"):                                                  "",
		imagesBeside("gs://b/d/labelsTs"):                                     "gs://b/d/imagesTs",
		imagesBeside("/data/labelsTr/labelsVal"):                              "/data/labelsTr/imagesVal",
		imagesBeside("masks"):                                                 "masks",
		commandLine("loop", "dataset", "my data", "preset", "", "store", "s"): "noisystudent loop --dataset 'my data' --store s",
		Options{Dataset: "d", Store: "s", Set: []string{"a=1,2", "b=it's"}, Seed: 7}.loopLine():                               `noisystudent loop --dataset d --store s --set a=1,2 --set 'b=it'\''s' --seed 7`,
		DemoRequest{Out: "o", Quick: true}.line(demoSeed):                                                                     "noisystudent demo --out o --quick",
		DemoRequest{Out: "o"}.line(4):                                                                                         "noisystudent demo --out o --seed 4",
		ExperimentRequest{Out: "o", Cohort: "flare-mini", Seeds: 1, Steps: 9, Rows: []string{"core", "mix"}}.line("o/cohort"): "noisystudent experiment paper-tables --out o --rows core,mix --cohort flare-mini --seeds 1 --steps 9",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if text := (ExperimentRequest{Out: "o", Seeds: 3, Budget: 7200e9, CT: "c", Labels: "l"}).line("d"); !strings.HasSuffix(text, " --dataset d --from c,l --seeds 3 --budget 2h0m0s") {
		t.Error(text)
	}
}
