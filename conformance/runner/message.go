// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"encoding/json"
	"io"
	"sync"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// message is one line of JSON from a worker to its supervisor. Kind says which of the other fields matter.
type message struct {
	Kind    kind             `json:"kind"`
	Spec    string           `json:"spec,omitempty"`    // begun, ended
	Verdict verdict.Verdict  `json:"verdict,omitempty"` // ended: the worst of its results
	Results []verdict.Result `json:"results,omitempty"` // ended; closed: how the subjects unloaded
	Text    string           `json:"text,omitempty"`    // ready: the accelerator; failed: why
}

type kind string

const (
	ready  kind = "ready"  // the lab is up
	begun  kind = "begun"  // a spec has begun
	ended  kind = "ended"  // a spec has ended
	failed kind = "failed" // the worker cannot go on; Text is the sentence for the user
	closed kind = "closed" // the worker has taken its lab down in good order
)

// sender writes messages; it may be used by several goroutines.
type sender struct {
	mu  sync.Mutex
	enc *json.Encoder
	err error // the first failure; a supervisor that is gone is told nothing more
}

func newSender(w io.Writer) *sender { return &sender{enc: json.NewEncoder(w)} }

func (s *sender) send(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = s.enc.Encode(m)
	}
}
