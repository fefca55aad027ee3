// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Config is a backend as a person names it: mem:SIZE, file:PATH, file:PATH,SIZE or the path of a block device. The word ro
// behind a comma makes it read-only; cached lets a block device go through the page cache; volatile puts a write cache before a
// file that is lost with the process.
type Config struct {
	text     string
	path     string // of the file or block device; "" for memory
	readOnly bool
	open     func() (Backend, error)
}

// ParseConfig reads a [Config] and opens nothing. Errors name the word at fault and its limit.
func ParseConfig(s string) (Config, error) {
	words := strings.Split(s, ",")
	var o parseOptions
	for _, w := range words[1:] {
		if err := o.take(w); err != nil {
			return Config{}, fmt.Errorf("backend %.64q: %w", s, err)
		}
	}
	spec, err := o.spec(words[0])
	if err != nil {
		return Config{}, fmt.Errorf("backend %.64q: %w", s, err)
	}
	spec.text = s
	return spec, nil
}

// SharesWrites says whether two backends, of which each is open, write the same file or block device, whatever path each has to it.
func (s Config) SharesWrites(other Config) (bool, error) {
	if s.readOnly || other.readOnly || s.path == "" || other.path == "" {
		return false, nil
	}
	a, err1 := os.Stat(s.path)
	b, err2 := os.Stat(other.path)
	if err := errors.Join(err1, err2); err != nil {
		return false, err
	}
	if a.Mode().Type() == fs.ModeDevice && b.Mode().Type() == fs.ModeDevice {
		return a.Sys().(*syscall.Stat_t).Rdev == b.Sys().(*syscall.Stat_t).Rdev, nil
	}
	return os.SameFile(a, b), nil
}

// Open opens the backend.
func (s Config) Open() (Backend, error) {
	b, err := s.open()
	if err != nil {
		return nil, fmt.Errorf("backend %.64q: %w", s.text, err)
	}
	return b, nil
}

// Parse reads a [Config] and opens the backend.
func Parse(s string) (Backend, error) {
	spec, err := ParseConfig(s)
	if err != nil {
		return nil, err
	}
	return spec.Open()
}

type parseOptions struct {
	readOnly, cached, volatile bool
	size                       int64
}

// spec finds what opens a backend with these options.
func (o parseOptions) spec(what string) (Config, error) {
	kind, rest, _ := strings.Cut(what, ":")
	switch {
	case o.volatile && (kind != "file" || o.readOnly || o.cached):
		return Config{}, fmt.Errorf("only a file that can be written can be volatile: %w", syscall.EINVAL)
	case kind == "mem" && o != parseOptions{}:
		return Config{}, fmt.Errorf("a memory device has no options: %w", syscall.EINVAL)
	case kind == "mem":
		size, err := ParseSize(rest)
		if err == nil {
			err = checkSize(size, maxMemory)
		}
		return Config{open: func() (Backend, error) { return NewMemory(size, 0) }}, err
	case kind == "file" && rest == "":
		return Config{}, fmt.Errorf("the path of the file is missing: %w", syscall.EINVAL)
	case o.volatile:
		open := func() (Backend, error) { return OpenVolatile(rest, o.size) }
		return Config{path: rest, open: open}, checkSize(o.size, maxMemory)
	case kind == "file" && !o.cached:
		open := func() (Backend, error) { return OpenFile(rest, o.size, o.readOnly) }
		return Config{path: rest, readOnly: o.readOnly, open: open}, checkSize(o.size, math.MaxInt64)
	case strings.HasPrefix(what, "/") && o.size == 0:
		open := func() (Backend, error) { return OpenBlock(what, o.readOnly, !o.cached) }
		return Config{path: what, readOnly: o.readOnly, open: open}, nil
	}
	return Config{}, fmt.Errorf("must be mem:SIZE, file:PATH[,SIZE][,ro][,volatile] or the path of a block device[,ro][,cached]: %w", syscall.EINVAL)
}

// maxMemory is more than any machine has, in bytes.
const maxMemory = 1 << 46

// checkSize refuses sizes that memory and files cannot have as devices.
func checkSize(size, most int64) error {
	if size%defaultBlock != 0 || size > most {
		return fmt.Errorf("size of %d bytes, must be a multiple of %d and at most %d: %w", size, defaultBlock, most, syscall.EINVAL)
	}
	return nil
}

func (o *parseOptions) take(word string) error {
	switch word {
	case "ro":
		o.readOnly = true
	case "cached":
		o.cached = true
	case "volatile":
		o.volatile = true
	default:
		size, err := ParseSize(word)
		if err != nil {
			return fmt.Errorf("option %q is neither ro, cached, volatile nor a size: %w", word, syscall.EINVAL)
		}
		o.size = size
	}
	return nil
}

// ParseSize reads a number of bytes with an optional binary unit: 512, 64K, 1M, 2G, 3T.
func ParseSize(s string) (int64, error) {
	digits, shift := s, 0
	if n := len(s) - 1; n > 0 {
		if i := strings.IndexByte("KMGT", strings.ToUpper(s)[n]); i >= 0 {
			digits, shift = s[:n], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("size %q, must be a number of bytes with K, M, G or T behind it: %w", s, syscall.EINVAL)
	}
	return n << shift, nil
}
