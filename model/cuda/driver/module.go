package driver

import "fmt"

// Module is loaded device code.
type Module struct {
	c      *Context
	handle uintptr
}

// Load loads an image that a compiler made for the card.
func (c *Context) Load(image []byte) (m Module, err error) {
	m.c = c
	err = c.Do(func() error { return c.d.check("cuModuleLoadData", c.d.call.moduleLoad(&m.handle, &image[0])) })
	return m, err
}

// Unload ends a module.
func (m Module) Unload() error {
	return m.c.release("cuModuleUnload", m.c.d.call.moduleUnload, m.handle)
}

// Function is a kernel.
type Function uintptr

// Function finds a kernel by its name.
func (m Module) Function(name string) (Function, error) {
	var f uintptr
	err := m.c.Do(func() error {
		return m.c.d.check("cuModuleGetFunction "+name, m.c.d.call.function(&f, m.handle, name))
	})
	return Function(f), err
}

// AllowShared lets a kernel have so many bytes of dynamic shared memory in later launches;
// more than 48 KiB need it.
func (c *Context) AllowShared(f Function, bytes int) error {
	const maxDynamicShared = 8
	return c.Do(func() error {
		return c.d.check("cuFuncSetAttribute", c.d.do(c.d.call.setFunction, uintptr(f), maxDynamicShared, uintptr(bytes)))
	})
}

// Check compares arguments with a kernel's parameters: their number and their sizes. A
// driver before CUDA 12.4 cannot tell.
func (c *Context) Check(f Function, a *Args) error {
	if c.d.call.parameter == nil {
		return nil
	}
	return c.Do(func() error {
		for i := 0; ; i++ {
			var offset, bytes uintptr
			code := c.d.call.parameter(uintptr(f), uintptr(i), &offset, &bytes)
			switch {
			case code == invalidValue && i == len(a.sizes):
				return nil
			case code == invalidValue:
				return fmt.Errorf("cuda: %d arguments for a kernel that takes %d", len(a.sizes), i)
			case code != 0:
				return c.d.check("cuFuncGetParamInfo", code)
			case i == len(a.sizes):
				return fmt.Errorf("cuda: %d arguments for a kernel that takes more", i)
			case int(bytes) != a.sizes[i]:
				return fmt.Errorf("cuda: argument %d has %d bytes, the kernel takes %d", i, a.sizes[i], bytes)
			}
		}
	})
}
