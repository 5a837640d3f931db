package program

import (
	"fmt"
	"reflect"
	"strings"
)

func (c Class) String() string {
	return name(int(c), "activation", "kernel", "vector", "labels")
}

func (r Role) String() string {
	return name(int(r), "temp", "input", "param", "state", "output")
}

func (r Rule) String() string { return name(int(r), "sgd", "adamw") }

// States returns how many arrays of the parameter's shape a rule remembers.
func (r Rule) States() int { return map[Rule]int{SGD: 1, AdamW: 2}[r] }

// HyperLen returns the length of a rule's Hyper vector.
func (r Rule) HyperLen() int { return map[Rule]int{SGD: 3, AdamW: 7}[r] }

func name(i int, names ...string) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("unknown(%d)", i)
}

// String returns the text form: one line a buffer, one line an instruction. It is
// for people and for golden tests; nothing reads it back.
func (p *Program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "arena %d\n", p.Arena)
	for i, f := range p.Buffers {
		fmt.Fprintf(&b, "%%%d %s %s %v %s", i, f.Role, f.Class, f.Shape, f.Name)
		if f.Offset >= 0 {
			fmt.Fprintf(&b, " @%d+%d", f.Offset, f.Bytes)
		}
		b.WriteByte('\n')
	}
	for t, in := range p.Instrs {
		fmt.Fprintf(&b, "%4d %s\n", t, p.Text(in))
	}
	return b.String()
}

// Text returns one instruction with its fields in the order of their declaration;
// operands that are None are left out.
func (p *Program) Text(in Instr) string {
	return kind(in) + p.fields(reflect.ValueOf(in))
}

func kind(in Instr) string { return reflect.TypeOf(in).Name() }

func (p *Program) fields(v reflect.Value) string {
	var b strings.Builder
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			b.WriteString(p.fields(v.Field(i)))
		} else if text := p.value(v.Field(i).Interface()); text != "" {
			fmt.Fprintf(&b, " %s=%s", strings.ToLower(f.Name), text)
		}
	}
	return b.String()
}

func (p *Program) value(v any) string {
	switch v := v.(type) {
	case ID:
		return p.operand(v)
	case View:
		return p.view(v)
	case []View:
		return list(v, func(e View) string { return p.value(e) })
	case []ID:
		return list(v, func(e ID) string {
			if e == None {
				return "none"
			}
			return p.operand(e)
		})
	}
	return fmt.Sprint(v)
}

// view prints x, x*norm~slope, and up(x by weight + bias) for what is upsampled.
func (p *Program) view(v View) string {
	text := p.operand(v.Buf)
	if v.Norm != None {
		text = fmt.Sprintf("%s*%s~%g", text, p.operand(v.Norm), v.Slope)
	}
	if v.Up == nil {
		return text
	}
	text += " by " + p.operand(v.Up.Weight)
	if v.Up.Bias != None {
		text += " + " + p.operand(v.Up.Bias)
	}
	return "up(" + text + ")"
}

func list[T any](l []T, f func(T) string) string {
	parts := make([]string, len(l))
	for i, e := range l {
		parts[i] = f(e)
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// operand prints an ID with its name, and "" for None.
func (p *Program) operand(id ID) string {
	switch {
	case id == None:
		return ""
	case int(id) < len(p.Buffers) && id >= 0 && p.Buffers[id].Name != "":
		return fmt.Sprintf("%%%d:%s", id, p.Buffers[id].Name)
	}
	return fmt.Sprintf("%%%d", id)
}
