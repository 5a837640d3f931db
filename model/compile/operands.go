package compile

import (
	"reflect"
	"slices"

	"noisystudent/model/program"
)

var idType = reflect.TypeFor[program.ID]()

// rename returns an instruction with every buffer replaced by f of it. Nothing is
// shared with the instruction it was made from.
func rename(in program.Instr, f func(program.ID) program.ID) program.Instr {
	v := reflect.New(reflect.TypeOf(in)).Elem()
	v.Set(reflect.ValueOf(in))
	renameValue(v, f)
	return v.Interface().(program.Instr)
}

func renameValue(v reflect.Value, f func(program.ID) program.ID) {
	switch {
	case v.Type() == idType:
		if id := program.ID(v.Int()); id != program.None {
			v.SetInt(int64(f(id)))
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		copied := reflect.New(v.Type().Elem())
		copied.Elem().Set(v.Elem())
		renameValue(copied.Elem(), f)
		v.Set(copied)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			renameValue(v.Field(i), f)
		}
	case v.Kind() == reflect.Slice && !v.IsNil():
		copied := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(copied, v)
		v.Set(copied)
		for i := range v.Len() {
			renameValue(v.Index(i), f)
		}
	}
}

// replace puts one buffer in the place of another, everywhere.
func (u *unit) replace(old, by program.ID) {
	for t, in := range u.Instrs {
		if !slices.Contains(in.Reads(), old) && !slices.Contains(in.Writes(), old) {
			continue
		}
		u.Instrs[t] = rename(in, func(id program.ID) program.ID {
			if id == old {
				return by
			}
			return id
		})
	}
}

// remove deletes instructions by index.
func (u *unit) remove(dead map[int]bool) {
	kept := u.Instrs[:0:0]
	for t, in := range u.Instrs {
		if !dead[t] {
			kept = append(kept, in)
		}
	}
	u.Instrs = kept
}

// uses lists, for every buffer, the instructions that read and that write it.
type uses struct{ readers, writers [][]int }

func (u *unit) uses() uses {
	s := uses{make([][]int, len(u.Buffers)), make([][]int, len(u.Buffers))}
	for t, in := range u.Instrs {
		for _, id := range in.Reads() {
			if r := s.readers[id]; len(r) == 0 || r[len(r)-1] != t {
				s.readers[id] = append(r, t)
			}
		}
		for _, id := range in.Writes() {
			s.writers[id] = append(s.writers[id], t)
		}
	}
	return s
}

// last returns the last instruction that touches a buffer.
func (s uses) last(id program.ID) int {
	t := -1
	for _, list := range [][]int{s.readers[id], s.writers[id]} {
		if len(list) > 0 {
			t = max(t, list[len(list)-1])
		}
	}
	return t
}

// drop removes the temporary buffers that no instruction touches and numbers the
// others anew.
func drop(u *unit) {
	s := u.uses()
	to := make([]program.ID, len(u.Buffers))
	var kept []program.Buffer
	for id, b := range u.Buffers {
		to[id] = program.None
		if b.Role != program.Temp || len(s.readers[id])+len(s.writers[id]) > 0 {
			to[id] = program.ID(len(kept))
			kept = append(kept, b)
		}
	}
	move := func(id program.ID) program.ID { return to[id] }
	for t, in := range u.Instrs {
		u.Instrs[t] = rename(in, move)
	}
	u.Buffers = kept
	renameNetwork(u.net, move)
}

func renameNetwork(n *Network, move func(program.ID) program.ID) {
	for _, id := range []*program.ID{&n.Image, &n.Labels, &n.Seed, &n.Hyper, &n.ClassWeights, &n.Loss, &n.Norm} {
		if *id != program.None {
			*id = move(*id)
		}
	}
	for i, id := range n.Logits {
		if id != program.None {
			n.Logits[i] = move(id)
		}
	}
	for _, m := range []map[string]program.ID{n.Params, n.Grads, n.State} {
		for name, id := range m {
			m[name] = move(id)
		}
	}
}
