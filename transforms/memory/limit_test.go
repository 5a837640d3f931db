package memory

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLimit(t *testing.T) {
	const meminfo = "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing is known":  {nil, unknownLimit},
		"a machine":         {map[string]string{"proc/meminfo": meminfo}, 8 << 30},
		"an old kernel":     {map[string]string{"proc/meminfo": "MemTotal: 1048576 kB\n"}, 1 << 30},
		"a container":       {map[string]string{"proc/meminfo": meminfo, "groups/memory.max": "2147483648\n"}, 2 << 30},
		"no limit":          {map[string]string{"proc/meminfo": meminfo, "groups/memory.max": "max\n"}, 8 << 30},
		"version 1":         {map[string]string{"proc/meminfo": meminfo, "groups/memory/memory.limit_in_bytes": "1073741824"}, 1 << 30},
		"a limit above all": {map[string]string{"proc/meminfo": meminfo, "groups/memory/memory.limit_in_bytes": "9223372036854771712"}, 8 << 30},
		"a group above its own": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/user.slice/job/step\n",
			"groups/user.slice/job/memory.max": "3221225472\n", "groups/user.slice/job/step/memory.max": "max\n",
		}, 3 << 30},
		"a group of version 1": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "3:cpu,memory:/docker/1\n1:name=systemd:/x\n",
			"groups/memory/docker/1/memory.limit_in_bytes": "536870912\n",
		}, 1 << 29},
	} {
		root := t.TempDir()
		for file, text := range c.files {
			path := filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if got := limitOf(filepath.Join(root, "proc"), filepath.Join(root, "groups")); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if got := Limit(); got < 1<<28 {
		t.Errorf("this machine allows %d bytes", got)
	}
}
