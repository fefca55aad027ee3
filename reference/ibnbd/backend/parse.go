// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"syscall"
)

// Parse opens the backend that a person names: mem:SIZE, file:PATH, file:PATH,SIZE or the path of a block device. The
// word ro behind a comma makes it read-only; cached lets a block device go through the page cache. Errors name the word
// at fault.
func Parse(s string) (Backend, error) {
	words := strings.Split(s, ",")
	what, options, err := words[0], parseOptions{}, error(nil)
	for _, w := range words[1:] {
		if err := options.take(w); err != nil {
			return nil, fmt.Errorf("backend %q: %w", s, err)
		}
	}
	kind, rest, _ := strings.Cut(what, ":")
	var b Backend
	switch {
	case kind == "mem" && options == parseOptions{}:
		var size int64
		if size, err = ParseSize(rest); err == nil {
			b, err = NewMemory(size, 0)
		}
	case kind == "mem":
		err = fmt.Errorf("a memory device has no options: %w", syscall.EINVAL)
	case kind == "file" && !options.cached:
		b, err = OpenFile(rest, options.size, options.readOnly)
	case strings.HasPrefix(what, "/") && options.size == 0:
		b, err = OpenBlock(what, options.readOnly, !options.cached)
	default:
		err = fmt.Errorf("must be mem:SIZE, file:PATH[,SIZE][,ro] or the path of a block device[,ro][,cached]: %w", syscall.EINVAL)
	}
	if err != nil {
		return nil, fmt.Errorf("backend %q: %w", s, err)
	}
	return b, nil
}

type parseOptions struct {
	readOnly, cached bool
	size             int64
}

func (o *parseOptions) take(word string) error {
	switch word {
	case "ro":
		o.readOnly = true
	case "cached":
		o.cached = true
	default:
		size, err := ParseSize(word)
		if err != nil {
			return fmt.Errorf("option %q is neither ro, cached nor a size: %w", word, syscall.EINVAL)
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
