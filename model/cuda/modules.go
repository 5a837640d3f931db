package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/kernels"
)

// compile makes the code of units that the card does not have yet, several at a time.
func (d *Device) compile(units []kernels.Unit) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var missing []kernels.Unit
	for _, u := range units {
		if _, ok := d.modules[u]; !ok && !slices.Contains(missing, u) {
			missing = append(missing, u)
		}
	}
	var work sync.WaitGroup
	images, errs := make([][]byte, len(missing)), make([]error, len(missing))
	slots := make(chan bool, runtime.GOMAXPROCS(0))
	for i, u := range missing {
		slots <- true
		work.Go(func() {
			images[i], errs[i] = d.image(u)
			<-slots
		})
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, u := range missing {
		m, err := d.context.Load(images[i])
		if err != nil {
			return fmt.Errorf("%s for %s: %w", u.File, u.Defines, err)
		}
		d.modules[u] = m
	}
	return nil
}

func (d *Device) image(u kernels.Unit) ([]byte, error) {
	source, err := u.Source()
	if err != nil {
		return nil, err
	}
	image, err := d.compiler.Compile(u.File, source)
	if err != nil {
		return nil, fmt.Errorf("cuda: compile %s for %s: %w", u.File, u.Defines, err)
	}
	return image, nil
}

// function finds a kernel that may have so much dynamic shared memory.
func (d *Device) function(u kernels.Unit, name string, shared int) (driver.Function, error) {
	if err := d.compile([]kernels.Unit{u}); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.modules[u].Function(name)
	if err != nil {
		return 0, err
	}
	const always = 48 << 10
	if shared <= max(always, d.shared[f]) {
		return f, nil
	}
	d.shared[f] = shared
	return f, d.context.AllowShared(f, shared)
}

func (d *Device) unload() error {
	var errs []error
	for _, m := range d.modules {
		errs = append(errs, m.Unload())
	}
	d.modules = nil
	return errors.Join(errs...)
}
