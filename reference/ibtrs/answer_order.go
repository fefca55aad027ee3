// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"slices"
	"sync"
	"time"
)

// heldAnswers are answers that a server holds for a moment, to give the last of them first. A client may not count on any
// order (Clauses IBTRS-IMM-014, IBTRS-IMM-015); this shows whether one does.
type heldAnswers struct {
	mu   sync.Mutex
	held []func()
}

// hold gives an answer when the moment is over that began with the first that is held. Nobody says whether more will come.
func (h *heldAnswers) hold(moment time.Duration, answer func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held = append(h.held, answer); len(h.held) == 1 {
		time.AfterFunc(moment, h.release)
	}
}

func (h *heldAnswers) release() {
	h.mu.Lock()
	held := h.held
	h.held = nil
	h.mu.Unlock()
	for _, answer := range slices.Backward(held) {
		answer()
	}
}
