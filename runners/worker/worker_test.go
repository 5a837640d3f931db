package worker

import "testing"

func TestWanted(t *testing.T) {
	for _, c := range []struct {
		args []string
		want bool
	}{
		{nil, false},
		{[]string{"demo"}, false},
		{[]string{"train", "--runner=prism"}, false},
		{[]string{"predict", "worker"}, false},
		{[]string{"--worker", "--id=1"}, true},
		{[]string{"-worker=true"}, true},
		{[]string{"--id=1-1", "--provision_endpoint=localhost:1"}, true},
	} {
		if got := Wanted(c.args); got != c.want {
			t.Errorf("Wanted(%q) = %v, want %v", c.args, got, c.want)
		}
	}
}
