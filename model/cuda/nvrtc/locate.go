package nvrtc

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Variable names the environment variable that names the compiler, its file or its folder.
const Variable = "NOISYSTUDENT_NVRTC"

// Locate lists where the compiler may be, the best first: what was named explicitly, by
// path or else by Variable, and nothing else; where nothing was, names for the loader, then files that exist in
// the toolkit of CUDA_HOME or CUDA_PATH, in the packages of an active Python
// environment or of the python3 on the path, and in /usr/local/cuda*.
func Locate(path string) []string {
	if path = cmp.Or(path, os.Getenv(Variable)); path != "" {
		if found := in(path); len(found) > 0 {
			return found
		}
		return []string{path}
	}
	list := []string{"libnvrtc.so.13", "libnvrtc.so.12"}
	for _, folder := range append(toolkits(), packages()...) {
		list = append(list, in(folder)...)
	}
	for _, folder := range glob("/usr/local/cuda*") {
		list = append(list, in(folder)...)
	}
	return list
}

// in lists the compilers of a folder or of a toolkit there, the newest first.
func in(folder string) []string {
	var list []string
	for _, below := range []string{".", "lib64", "lib", "targets/*/lib"} {
		found := glob(filepath.Join(folder, below, "libnvrtc.so.[1-9][0-9]"))
		slices.Reverse(found)
		list = append(list, found...)
	}
	return list
}

func toolkits() []string {
	var list []string
	for _, name := range []string{"CUDA_HOME", "CUDA_PATH"} {
		if v := os.Getenv(name); v != "" {
			list = append(list, v)
		}
	}
	return list
}

// packages lists the folders in which Python's packages put the library. Python itself
// is not run.
func packages() []string {
	var prefixes []string
	for _, name := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if v := os.Getenv(name); v != "" {
			prefixes = append(prefixes, v)
		}
	}
	if python, err := exec.LookPath("python3"); err == nil {
		prefix := filepath.Dir(filepath.Dir(python))
		prefixes = append(prefixes, prefix)
		if filepath.Base(filepath.Dir(python)) == "shims" { // pyenv's
			prefixes = append(prefixes, glob(filepath.Join(prefix, "versions", "*"))...)
		}
		if file, err := filepath.EvalSymlinks(python); err == nil {
			prefixes = append(prefixes, filepath.Dir(filepath.Dir(file)))
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		prefixes = append(prefixes, filepath.Join(home, ".local"))
	}
	prefixes = append(prefixes, "/usr/local", "/usr")
	var list []string
	for _, prefix := range prefixes {
		for _, site := range []string{"lib/python3*/site-packages", "lib/python3*/dist-packages", "lib64/python3*/site-packages"} {
			for _, wheel := range []string{"nvidia/cu1[0-9]/lib", "nvidia/cuda_nvrtc/lib"} {
				list = append(list, glob(filepath.Join(prefix, site, wheel))...)
			}
		}
	}
	return list
}

// glob is filepath.Glob of a pattern that is well formed but for the user's names in it.
func glob(pattern string) []string {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil
	}
	return found
}
