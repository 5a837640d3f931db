package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/kernels"
)

// compile makes the code of units that the card does not have yet, several at a time.
func (d *Device) compile(units []kernels.Unit) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	missing := map[kernels.Unit][]byte{}
	for _, u := range units {
		if _, ok := d.modules[u]; !ok {
			missing[u] = nil
		}
	}
	var (
		work  sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		slots = make(chan bool, runtime.GOMAXPROCS(0))
	)
	for u := range missing {
		slots <- true
		work.Go(func() {
			image, err := d.image(u)
			mu.Lock()
			missing[u], errs = image, append(errs, err)
			mu.Unlock()
			<-slots
		})
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for u, image := range missing {
		m, err := d.context.Load(image)
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
