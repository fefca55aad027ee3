// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// sharedWriter is a writer that several write to.
type sharedWriter struct {
	mu sync.Mutex
	to io.Writer
}

// labelled writes lines with a label before each.
type labelled struct {
	to    *sharedWriter
	label string
}

func (l *labelled) Write(p []byte) (int, error) {
	l.to.mu.Lock()
	defer l.to.mu.Unlock()
	for line := range bytes.Lines(p) {
		if _, err := fmt.Fprintf(l.to.to, "%s%s", l.label, line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
