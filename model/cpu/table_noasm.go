//go:build !amd64 || noasm

package cpu

func nativePaths() []path { return nil }

func bf16Table() *halfTable { return nil }
