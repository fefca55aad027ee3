// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// message is one line of JSON from a worker to its supervisor. Kind says which of the other fields matter.
type message struct {
	Kind    kind             `json:"kind"`
	Spec    string           `json:"spec,omitempty"`    // begun, ended
	Verdict verdict.Verdict  `json:"verdict,omitempty"` // ended: the worst of its results
	Results []verdict.Result `json:"results,omitempty"` // ended: at least one; closed: how the subjects unloaded
	Passive []verdict.Result `json:"passive,omitempty"` // ended: what the passive judge found in the spec's packets
	Text    string           `json:"text,omitempty"`    // failed: the sentence for the user
}

type kind string

const (
	ready  kind = "ready"  // the lab is up
	begun  kind = "begun"  // a spec has begun
	ended  kind = "ended"  // a spec has ended
	failed kind = "failed" // the worker cannot go on
	closed kind = "closed" // the worker has taken its lab down in good order
)

// check refuses what no worker of this program says.
func (m message) check() error {
	switch m.Kind {
	case ready, closed:
		return nil
	case begun, ended:
		if m.Spec == "" {
			return fmt.Errorf("a message %q without a spec", m.Kind)
		}
		if m.Kind == ended && len(m.Results) == 0 {
			return fmt.Errorf("no result of the spec %q", m.Spec)
		}
		return nil
	case failed:
		if m.Text == "" {
			return fmt.Errorf("a message %q without a text", m.Kind)
		}
		return nil
	default:
		return fmt.Errorf("a message of unknown kind %q", m.Kind)
	}
}

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
