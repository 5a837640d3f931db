package nvrtc

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noisystudent/model/cuda/library"
)

// opened is a compiler of NOISYSTUDENT_NVRTC with an empty cache.
func opened(t *testing.T) *Compiler {
	t.Helper()
	folder := os.Getenv("NOISYSTUDENT_NVRTC")
	if folder == "" {
		t.Skip("needs NVRTC: set NOISYSTUDENT_NVRTC to the folder of libnvrtc.so (pip install nvidia-cuda-nvrtc)")
	}
	c, err := Open(Options{Path: folder, Cache: t.TempDir()})
	if errors.Is(err, library.ErrLeftOut) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const source = `extern "C" __global__ void __launch_bounds__(64) twice(float *x) {
  __shared__ float s[64]; s[threadIdx.x] = x[threadIdx.x]; __syncthreads(); x[threadIdx.x] = s[63 - threadIdx.x] * 2; }
extern "C" __global__ void nothing() {}`

func TestCompile(t *testing.T) {
	c := opened(t)
	for _, arch := range []string{"sm_80", "sm_90"} {
		first, err := c.Image(arch, "twice", source)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(first.Cubin, []byte("\x7fELF")) || first.Cached {
			t.Errorf("%s: %d bytes, cached %v", arch, len(first.Cubin), first.Cached)
		}
		i := slices.IndexFunc(first.Kernels, func(k Kernel) bool { return k.Name == "twice" })
		if len(first.Kernels) != 2 || i < 0 || first.Kernels[i].Shared != 256 || first.Kernels[i].Registers < 4 {
			t.Errorf("%s: kernels %v", arch, first.Kernels)
		}
		again, err := c.Image(arch, "twice", source)
		if err != nil || !again.Cached || !bytes.Equal(again.Cubin, first.Cubin) || !slices.Equal(again.Kernels, first.Kernels) {
			t.Errorf("%s: the second time: cached %v, %v", arch, again.Cached, err)
		}
	}
	if files, err := filepath.Glob(filepath.Join(c.cache.folder, "*")); err != nil || len(files) != 2 {
		t.Errorf("the cache holds %v, want one file an architecture", files)
	}
}

func TestCompileAgainWhereTheCacheIsBroken(t *testing.T) {
	c := opened(t)
	want, err := Target{c, "sm_90"}.Compile("twice", source)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(c.cache.folder, "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Truncate(files[0], 1000); err != nil {
		t.Fatal(err)
	}
	got, err := c.Image("sm_90", "twice", source)
	if err != nil || got.Cached || !bytes.Equal(got.Cubin, want) {
		t.Errorf("cached %v, %v", got.Cached, err)
	}
}

func TestRefusedSource(t *testing.T) {
	_, err := opened(t).Image("sm_90", "wrong", "__global__ void f() { g(); }")
	var refused *CompileError
	if !errors.As(err, &refused) || !strings.Contains(refused.Log, `"g" is undefined`) || refused.Name != "wrong" {
		t.Errorf("%v, want what the compiler says", err)
	}
}

func TestArch(t *testing.T) {
	c := &Compiler{archs: []int{75, 80, 86, 89, 90, 100, 120}}
	for _, card := range []struct {
		major, minor int
		want         string
	}{{8, 0, "sm_80"}, {8, 7, "sm_86"}, {9, 0, "sm_90"}, {10, 3, "sm_100"}, {12, 1, "sm_120"}} {
		if got, err := c.Arch(card.major, card.minor); got != card.want || err != nil {
			t.Errorf("%d.%d: %s %v, want %s", card.major, card.minor, got, err, card.want)
		}
	}
	if _, err := c.Arch(11, 0); err == nil || !strings.Contains(err.Error(), "install a newer one") {
		t.Errorf("11.0: %v, want the remedy", err)
	}
}

// A library of this name that is none, so that paths are tried without NVRTC.
func fake(t *testing.T, path ...string) string {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLocate(t *testing.T) {
	root := t.TempDir()
	toolkit := fake(t, root, "cuda", "lib64", "libnvrtc.so.12")
	active := fake(t, root, "venv/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13")
	older := fake(t, root, "python/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12")
	fake(t, root, "python/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.alt.so.12")
	fake(t, root, "python/bin/python3")
	for name, value := range map[string]string{
		"CUDA_HOME": filepath.Join(root, "cuda"), "CUDA_PATH": "", "CONDA_PREFIX": "", "HOME": root,
		"VIRTUAL_ENV": filepath.Join(root, "venv"), "PATH": filepath.Join(root, "python", "bin"), "NOISYSTUDENT_NVRTC": "",
	} {
		t.Setenv(name, value)
	}
	got := slices.DeleteFunc(Locate(""), func(p string) bool { return filepath.IsAbs(p) && !strings.HasPrefix(p, root) })
	if want := []string{"libnvrtc.so.13", "libnvrtc.so.12", toolkit, active, older}; !slices.Equal(slices.Compact(got), want) {
		t.Errorf("located %q, want %q", got, want)
	}
	for _, explicit := range []string{toolkit, filepath.Join(root, "cuda"), filepath.Dir(toolkit)} {
		if got := Locate(explicit); !slices.Equal(got, []string{toolkit}) {
			t.Errorf("%s: located %q", explicit, got)
		}
	}
	t.Setenv("NOISYSTUDENT_NVRTC", filepath.Dir(older))
	if got := Locate(""); !slices.Equal(got, []string{older}) {
		t.Errorf("with NOISYSTUDENT_NVRTC: located %q", got)
	}
	if got := Locate(toolkit); !slices.Equal(got, []string{toolkit}) {
		t.Errorf("what is named by path is located at %q", got)
	}
}

func TestNoCompiler(t *testing.T) {
	file := fake(t, t.TempDir(), "libnvrtc.so.12")
	_, err := Open(Options{Path: file, Major: 12})
	if errors.Is(err, library.ErrLeftOut) {
		return // with the tag nocuda
	}
	var missing *MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "pip install nvidia-cuda-nvrtc-cu12") || !strings.Contains(err.Error(), file) {
		t.Errorf("%v, want the remedy and what was tried", err)
	}
}

func TestParse(t *testing.T) {
	got := parse(`ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'conv' for 'sm_80'
ptxas info    : Function properties for conv
    16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 16 bytes cumulative stack size, 1024 bytes smem, 420 bytes cmem[0]
ptxas info    : Compile time = 2.1 ms
ptxas info    : Compiling entry function 'add' for 'sm_80'
ptxas info    : Function properties for add
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 12 registers, used 0 barriers, 376 bytes cmem[0]
`)
	want := []Kernel{{"conv", 128, 16, 12, 8, 1024}, {"add", 12, 0, 0, 0, 0}}
	if !slices.Equal(got, want) {
		t.Errorf("parsed %v, want %v", got, want)
	}
}

func TestCacheKeepsWhatIsWhole(t *testing.T) {
	c := cache{filepath.Join(t.TempDir(), "made", "when", "wanted")}
	key := digest("a", "bc")
	if key == digest("ab", "c") {
		t.Error("the digest does not tell parts from each other")
	}
	c.put(key, Image{Cubin: []byte{1, 2, 3}})
	if image, ok := c.get(key); !ok || !bytes.Equal(image.Cubin, []byte{1, 2, 3}) {
		t.Error("what was put is not found")
	}
	b, err := os.ReadFile(c.file(key))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 40, len(b) - 1} {
		broken := bytes.Clone(b)
		broken[at] ^= 1
		if err := os.WriteFile(c.file(key), broken, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.get(key); ok {
			t.Errorf("a file with byte %d changed is taken", at)
		}
	}
}
