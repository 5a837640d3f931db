package command

import (
	"strings"
	"syscall"
	"testing"

	"noisystudent/io/store"
)

// TestFolderRefuses is about folders that cannot be used: full, read-only or another
// user's. The command ends with 1 and one line on what is wrong and what to do; work
// on cases ends with 3 and says the same of each.
func TestFolderRefuses(t *testing.T) {
	root := t.TempDir()
	for _, line := range commands[:3] {
		if code, _, log := runLine(t, root, line); code != Done {
			t.Fatal(log)
		}
	}
	before := results(t, root)
	for name, c := range map[string]struct {
		line   string
		ops    string // that fail
		below  string // where they fail
		err    error
		remedy string
	}{
		"full disk":         {"plan --dataset ROOT/cohort --store ROOT/store --replan PLAN", "write", "store", syscall.ENOSPC, "no space left on device; make room"},
		"full at the end":   {"plan --dataset ROOT/cohort --store ROOT/store --replan PLAN", "commit", "store/plan.json", syscall.ENOSPC, "no space left on device; make room"},
		"quota":             {"phantom --out ROOT/more PHANTOM", "write", "more", syscall.EDQUOT, "disk quota exceeded; make room"},
		"read-only store":   {"plan --dataset ROOT/cohort --store ROOT/store --replan PLAN", "create remove", "store", syscall.EROFS, "read-only file system; name another place"},
		"somebody's store":  {"plan --dataset ROOT/cohort --store ROOT/store --replan PLAN", "create remove", "store", syscall.EACCES, "permission denied; give this user the right to it"},
		"somebody's cohort": {"plan --dataset ROOT/cohort --store ROOT/store --replan PLAN", "read list stat", "cohort", syscall.EACCES, "permission denied; give this user the right to it"},
		"full for cases":    {"preprocess --dataset ROOT/cohort --store ROOT/store", "write", "store/preprocessed", syscall.ENOSPC, "no space left on device; make room"},
	} {
		end := store.FaultUnder(root, func(op, address string) error {
			if strings.Contains(c.ops, op) && strings.Contains(address, root+"/"+c.below) {
				return c.err
			}
			return nil
		})
		code, out, log := runLine(t, root, c.line)
		end()
		last, want := log[strings.LastIndex(strings.TrimSpace(log), "\n")+1:], Failed
		if name == "full for cases" {
			last, want = out, Rejected
		}
		if code != want || !strings.Contains(last, c.remedy) || !strings.Contains(last, root+"/"+c.below) {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out, log)
		}
	}
	after := results(t, root)
	for key, want := range before {
		if after[key] != want {
			t.Errorf("%s has changed", key)
		}
	}
	for _, line := range []string{"plan --dataset ROOT/cohort --store ROOT/store", "preprocess --dataset ROOT/cohort --store ROOT/store"} {
		if code, out, log := runLine(t, root, line); code != Done {
			t.Errorf("mended, %s: exit code %d\n%s%s", line, code, out, log)
		}
	}
}
