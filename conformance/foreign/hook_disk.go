// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Actions on a disk that an initiator has, in any protocol.
const (
	ReadDisk  Action = "read"
	WriteDisk Action = "write"
)

// HookDisk is a disk that an initiator has, as its control hook uses it.
type HookDisk struct {
	Node string // by which the hook knows it
	// Call calls the hook, with what goes to its standard input.
	Call func(ctx context.Context, input []byte, action Action, arguments ...string) ([]byte, error)
}

// NodeOf is the node of a disk that an action has told.
func NodeOf(action Action, says []byte) (string, error) {
	words := strings.Fields(string(says))
	if len(words) != 1 {
		return "", fmt.Errorf("control hook: %s says %q, and must say one word, the node of the disk", action, says)
	}
	return words[0], nil
}

// Read reads bytes.
func (d HookDisk) Read(ctx context.Context, offset int64, size int) ([]byte, error) {
	b, err := d.Call(ctx, nil, ReadDisk, d.Node, strconv.FormatInt(offset, 10), strconv.Itoa(size))
	if err == nil && len(b) != size {
		return nil, fmt.Errorf("control hook: %s gives %d bytes, and was asked for %d", ReadDisk, len(b), size)
	}
	return b, err
}

// Write writes bytes.
func (d HookDisk) Write(ctx context.Context, offset int64, data []byte) error {
	_, err := d.Call(ctx, data, WriteDisk, d.Node, strconv.FormatInt(offset, 10), strconv.Itoa(len(data)))
	return err
}
