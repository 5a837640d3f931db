package nvrtc

import "noisystudent/model/cuda/library"

// calls are NVRTC's functions.
type calls struct {
	version   func(major, minor *int32) int32
	archCount func(n *int32) int32
	archList  func(list *int32) int32
	create    func(p *uintptr, source, name string, headers int32, texts, names **byte) int32
	destroy   func(p *uintptr) int32
	compile   func(p uintptr, n int32, options **byte) int32
	logSize   func(p uintptr, n *uintptr) int32
	log       func(p uintptr, text *byte) int32
	cubinSize func(p uintptr, n *uintptr) int32
	cubin     func(p uintptr, image *byte) int32
	text      func(code int32) string
}

func (c *calls) bind(l library.Library) error {
	for _, f := range []struct {
		name string
		at   any
	}{
		{"nvrtcVersion", &c.version},
		{"nvrtcGetNumSupportedArchs", &c.archCount},
		{"nvrtcGetSupportedArchs", &c.archList},
		{"nvrtcCreateProgram", &c.create},
		{"nvrtcDestroyProgram", &c.destroy},
		{"nvrtcCompileProgram", &c.compile},
		{"nvrtcGetProgramLogSize", &c.logSize},
		{"nvrtcGetProgramLog", &c.log},
		{"nvrtcGetCUBINSize", &c.cubinSize},
		{"nvrtcGetCUBIN", &c.cubin},
		{"nvrtcGetErrorString", &c.text},
	} {
		if err := l.Bind(f.name, f.at); err != nil {
			return err
		}
	}
	return nil
}
