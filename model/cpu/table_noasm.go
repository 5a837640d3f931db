//go:build !amd64 || noasm

package cpu

func nativeTables() []*table { return nil }
