package worker

import (
	"os"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/util/hooks"
)

// The worker of a job gets the variables of the command that submits it by the job's options.
func TestEnvironment(t *testing.T) {
	const name, unset = "NOISYSTUDENT_TEST_PLACE", "NOISYSTUDENT_TEST_UNSET"
	t.Setenv(name, "before")
	t.Setenv(unset, "as it was")
	defer func() { _ = Environment() }()
	if err := Environment(name+"=/opt/a=b, c", unset+"="); err != nil {
		t.Fatal(err)
	}
	if v := os.Getenv(name); v != "/opt/a=b, c" {
		t.Errorf("here it is %q", v)
	}
	hooks.SerializeHooksToOptions()
	os.Unsetenv(name)
	hooks.DeserializeHooksFromOptions(t.Context()) // as a worker begins
	if _, err := hooks.RunInitHooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := os.Getenv(name); v != "/opt/a=b, c" || os.Getenv(unset) != "as it was" {
		t.Errorf("in the worker it is %q, what was not given %q", v, os.Getenv(unset))
	}
	if err := Environment(name + "="); err != nil {
		t.Fatal(err)
	}
	if on, _ := hooks.IsEnabled(environmentHook); on || os.Getenv(name) == "" {
		t.Error("nothing given does not leave things as they are")
	}
}
