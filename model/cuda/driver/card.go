package driver

import (
	"bytes"
	"errors"
	"fmt"
)

// Card describes a card.
type Card struct {
	Number         int
	Name           string  // "NVIDIA H100 80GB HBM3"
	Bus            string  // its address there, "0000:3b:00.0"
	Driver         Version // CUDA of the driver
	Major, Minor   int     // compute capability
	Total, Free    int64   // bytes of memory; Free is -1 where the card does not let us in
	SMs            int     // multiprocessors
	ClockKHz       int     // the highest of the multiprocessors
	MemoryClockKHz int
	BusBits        int // width of the memory's bus
	L2             int // bytes
	SharedPerBlock int // bytes, the most that a kernel may ask for
	SharedPerSM    int // bytes
}

func (c Card) String() string {
	return fmt.Sprintf("%s, %d GiB, compute capability %d.%d, CUDA %s", c.Name, (c.Total+1<<29)>>30, c.Major, c.Minor, c.Driver)
}

// BytesPerSecond is what the memory moves at most, by its clock and width.
func (c Card) BytesPerSecond() float64 {
	return 2 * float64(c.MemoryClockKHz) * 1000 * float64(c.BusBits) / 8
}

// TensorFLOPS is what the tensor cores compute a second at most in half precision, dense,
// by the clock; 0 for a card that is not in the table.
func (c Card) TensorFLOPS() float64 {
	perClock := map[int]int{80: 2048, 86: 1024, 87: 1024, 89: 1024, 90: 4096}[10*c.Major+c.Minor]
	return float64(perClock) * float64(c.SMs) * float64(c.ClockKHz) * 1000
}

// Attributes of cards: CUdevice_attribute.
const (
	clockRate       = 13
	multiprocessors = 16
	computeMode     = 20
	memoryClockRate = 36
	memoryBusWidth  = 37
	l2Size          = 38
	major           = 75
	minor           = 76
	sharedPerSM     = 81
	sharedPerBlock  = 97 // opt-in

	exclusiveProcess = 3 // a compute mode
)

// Cards describes all cards. It takes the context of each for a moment, for its free memory.
func (d *Driver) Cards() ([]Card, error) {
	var n int32
	if err := d.check("cuDeviceGetCount", d.call.count(&n)); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, &NoCardError{}
	}
	var list []Card
	for i := range int(n) {
		card, err := d.listed(i)
		if err != nil {
			return nil, err
		}
		list = append(list, card)
	}
	return list, nil
}

func (d *Driver) listed(number int) (Card, error) {
	c, err := d.Open(number)
	if busy := (*BusyError)(nil); errors.As(err, &busy) {
		handle, err := d.card(number)
		if err != nil {
			return Card{}, err
		}
		card, err := d.describe(number, handle)
		card.Free = -1
		return card, err
	}
	if err != nil {
		return Card{}, err
	}
	card, err := c.Card()
	return card, errors.Join(err, c.Close())
}

// Card describes the context's card.
func (c *Context) Card() (Card, error) {
	card, err := c.d.describe(c.number, c.card)
	if err != nil {
		return Card{}, err
	}
	card.Free, _, err = c.Memory()
	return card, err
}

// card is the driver's handle of a card.
func (d *Driver) card(number int) (handle int32, err error) {
	var n int32
	if err := d.check("cuDeviceGetCount", d.call.count(&n)); err != nil {
		return 0, err
	}
	if number < 0 || number >= int(n) {
		return 0, &NoCardError{number, int(n)}
	}
	return handle, d.check("cuDeviceGet", d.call.deviceGet(&handle, int32(number)))
}

// describe says all but how much memory is free.
func (d *Driver) describe(number int, handle int32) (Card, error) {
	c := Card{Number: number, Driver: d.Version}
	for _, t := range []struct {
		call string
		get  func(text *byte, length, device int32) int32
		to   *string
	}{{"cuDeviceGetName", d.call.name, &c.Name}, {"cuDeviceGetPCIBusId", d.call.bus, &c.Bus}} {
		text := make([]byte, 256)
		if err := d.check(t.call, t.get(&text[0], int32(len(text)-1), handle)); err != nil {
			return c, err
		}
		text, _, _ = bytes.Cut(text, []byte{0})
		*t.to = string(text)
	}
	var total uintptr
	if err := d.check("cuDeviceTotalMem", d.call.totalMemory(&total, handle)); err != nil {
		return c, err
	}
	c.Total = int64(total)
	for _, a := range []struct {
		to *int
		id int32
	}{
		{&c.Major, major},
		{&c.Minor, minor},
		{&c.SMs, multiprocessors},
		{&c.ClockKHz, clockRate},
		{&c.MemoryClockKHz, memoryClockRate},
		{&c.BusBits, memoryBusWidth},
		{&c.L2, l2Size},
		{&c.SharedPerBlock, sharedPerBlock},
		{&c.SharedPerSM, sharedPerSM},
	} {
		var err error
		if *a.to, err = d.attribute(handle, a.id); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (d *Driver) attribute(handle, id int32) (int, error) {
	var v int32
	err := d.check("cuDeviceGetAttribute", d.call.attribute(&v, id, handle))
	return int(v), err
}
